"""What each role asks of the pool; on two cores every whole CPU given away starves somebody."""

from dataclasses import dataclass
from typing import Any

READ_BESIDE = "read_beside"


@dataclass(frozen=True, kw_only=True)
class ActorResources:
    """How Ray places an actor that must always be there, and how often it repeats a call that was lost."""

    num_cpus: float = 0.0  # it waits most of the time; the scheduler must never refuse it
    max_restarts: int = -1  # it comes back for ever, and rebuilds its state from the stores
    max_task_retries: int = 0
    num_concurrent_calls: int = 1  # one call at a time: its state needs no lock
    read_beside: bool = False  # calls in the group READ_BESIDE are answered while another call runs

    def options(self, *, name: str, namespace: str) -> dict[str, Any]:
        """The arguments of `.options()` for the one detached actor of that name."""
        return {
            "name": name,
            "namespace": namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": self.max_restarts,
            "max_task_retries": self.max_task_retries,
            "max_concurrency": self.num_concurrent_calls,
        }

    def class_options(self) -> dict[str, Any]:
        """The arguments of `ray.remote()` for the class: what Ray does not take in `.options()`."""
        return {"num_cpus": self.num_cpus, "concurrency_groups": {READ_BESIDE: 1} if self.read_beside else {}}


# A lost call to the catalog may have been committed: only the caller, who knows the expected state, may repeat it.
CATALOG_ACTOR = ActorResources(max_task_retries=0)
# These three name what they do (segment, table version, turn), so that doing it again changes nothing.
RECORDER_ACTOR = ActorResources(max_task_retries=3)
MONITOR_ACTOR = ActorResources(max_task_retries=3, read_beside=True)
STEWARD_ACTOR = ActorResources(max_task_retries=3)
# Woken and asked for its status while its own threads work.
ANSWERER_ACTOR = ActorResources(max_task_retries=3)

# Little, so that thirty replicas on two CPUs still leave room for a training worker: it is memory that ends first.
PREDICTOR_CPUS_PER_REPLICA = 0.05
# Below one CPU, so that Ray Data's tasks fit beside the workers that wait for their rows.
TRAIN_CPUS_PER_WORKER = 0.5
# How often a fit with a span of workers looks for a new number; each change costs a start of all, some seconds.
TRAIN_RESIZE_INTERVAL_S = 60.0
# A trial waits, so this much stays free beside all of them: who needs it is placed at once, and a trial pauses.
TUNE_CPUS_PER_TRIAL = 0.5
TUNE_CPUS_KEPT_FREE = 0.5
# A cluster full of small replicas has no whole CPU free for a read, and would wait for one for ever.
INGEST_READ_CPUS = 0.25
# So many tasks at once read and prepare a training worker's rows while it learns. They ask for no CPU: workers may have
# taken all, and would wait for their rows for ever. The rows of a run are put in order before there are workers.
SHARD_READ_CPUS, SHARD_READERS = 0.0, 2
# Of the tasks that put rows in order so many run at once, however many CPUs there are: each holds some days in memory.
STAGE_CPUS, STAGE_TASKS = 0.25, 8
# Far below a CPU, so that both fit beside the replicas of a small cluster; what they get there, the scheduler decides.
SCORE_READ_CPUS = 0.25
SCORE_ACTOR_CPUS = 0.25
# A policy that is played fits models as a training worker does.
COMPARE_CPUS = TRAIN_CPUS_PER_WORKER
# Batch work is for whatever the replicas leave over.
BATCH_NICENESS = 10
# A driver mostly waits for what it started.
JOB_DRIVER_CPUS = 0.0


def predictor_actor_options(*, num_cpus: float | None = None, num_gpus: float = 0.0) -> dict[str, Any]:
    """Serve's `ray_actor_options` for a replica that answers requests."""
    cpus = {"num_cpus": PREDICTOR_CPUS_PER_REPLICA if num_cpus is None else num_cpus}
    return {**cpus, "num_gpus": num_gpus} if num_gpus else cpus


def train_worker_resources(*, num_cpus: float | None = None, num_gpus: float = 0.0) -> dict[str, float]:
    """Ray Train's `resources_per_worker`; Ray gives each worker as many threads as it has whole CPUs, at least one."""
    cpus = {"CPU": TRAIN_CPUS_PER_WORKER if num_cpus is None else num_cpus}
    return {**cpus, "GPU": num_gpus} if num_gpus else cpus
