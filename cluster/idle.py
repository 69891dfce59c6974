"""What nobody uses in the cluster, and what somebody waits for: where work that may wait looks before it begins."""

from dataclasses import dataclass

import ray
from ray._private.state import available_resources_per_node
from ray.autoscaler.v2.sdk import get_cluster_status

READ_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Free CPUs and GPUs, and how many tasks, actors or groups Ray cannot place for want of resources."""

    num_cpus: float
    num_gpus: float
    num_waiting: int


def reason_to_wait(num_free: float, *, num_needed: float, unit: str = "CPUs") -> str | None:
    """Why a task of so many CPUs (or GPUs) cannot begin now, and what would let it; None where it can."""
    if num_free >= num_needed:
        return None
    return (
        f"waiting for the pool: {num_free:.2f} {unit} are free and a task of this job takes {num_needed}; "
        "it goes on when other work ends, a workload has fewer replicas, or the cluster gets a node."
    )


def free(name: str) -> float:
    """CPUs ("CPU") or GPUs of the cluster that nobody uses, some seconds old at most; no other process is asked."""
    return float(ray.available_resources().get(name, 0.0))  # type: ignore[no-untyped-call]


def by_node() -> dict[str, dict[str, float]]:
    """What nobody uses on each node that is alive, by its id and the name of the resource; some seconds old at most."""
    return dict(available_resources_per_node())  # type: ignore[no-untyped-call]


def read() -> Idle:
    """The state of the cluster that this process is connected to, some seconds old at most."""
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    demands = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=READ_TIMEOUT_S).resource_demands
    waiting = [*demands.ray_task_actor_demand, *demands.placement_group_demand]
    return Idle(
        num_cpus=float(free.get("CPU", 0.0)),
        num_gpus=float(free.get("GPU", 0.0)),
        num_waiting=sum(bundle.count for demand in waiting for bundle in demand.bundles_by_count),
    )
