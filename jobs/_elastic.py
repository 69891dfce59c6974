"""Ray Train's elastic size by what is free, not by what the cluster has.

Ray 2.60 counts the resources of all nodes, whoever uses them: beside replicas, which are in nobody's ledger, it would
ask again and again for more workers than there is room for, and none would begin.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller.state import RunningState, SchedulingState
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy
from ray.train.v2.api.config import ScalingConfig

from cluster import idle
from heliostat.learn.room import workers_that_fit
from jobs._giving_up import TellingFailurePolicy
from jobs._run_folder import newest_checkpoint

FreeByNode = Mapping[str, Mapping[str, float]]


class FreeRoomPolicy(ElasticScalingPolicy):
    """As many workers as find room beside what others use; the places of those that run or have just failed are ours.

    Ray gives the places of failed workers back only when it starts new ones, so they are never free in between.
    """

    def __init__(self, scaling_config: ScalingConfig, *, free_by_node: Callable[[], FreeByNode] = idle.by_node) -> None:
        super().__init__(scaling_config)
        self._free_by_node = free_by_node
        self._own_by_node: Counter[str] = Counter()
        self._num_unseen = 0  # of a group that has begun, and was not yet asked where it is

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Told by Ray: a group that begins takes the place of the one before."""
        if isinstance(current_state, SchedulingState):
            self._own_by_node, self._num_unseen = Counter(), 0
        elif isinstance(current_state, RunningState) and isinstance(previous_state, SchedulingState):
            decision: Any = previous_state.scaling_decision
            self._num_unseen = decision.num_workers

    def make_decision_for_running_worker_group(self, worker_group_state: Any, worker_group_status: Any) -> Any:
        """Ray's decision."""
        self._own_by_node = Counter(worker.metadata.node_id for worker in worker_group_state.workers)
        self._num_unseen = 0
        return super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)

    def _count_possible_workers(self, reserved_resources: Any) -> int:
        per_worker = self.scaling_config._resources_per_worker_not_none
        fit = workers_that_fit(self._free_by_node(), per_worker=per_worker, own_by_node=self._own_by_node)
        allowed = workers_that_fit(reserved_resources, per_worker=per_worker, own_by_node={})
        return min(fit + self._num_unseen, allowed, self.scaling_config.max_workers)


# Each is a process of its own with all of Ray Data imported. Rows come to workers on another way (`_shards`), and a run
# is a job: when it ends, however it ends, Ray frees its workers' places without a cleaner.
IDLE_HERE = (DatasetsCallback, PlacementGroupCleanerCallback)


class RoomTrainer(TorchTrainer):
    """A TorchTrainer whose elastic size follows what is free, and which starts no worker again for a fault it told."""

    def _create_default_callbacks(self) -> list[Any]:
        made: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]  # V2's
        return [each for each in made if not isinstance(each, IDLE_HERE)]

    def _initialize_and_run_controller(self, **given: Any) -> Any:
        scaling: Any = self.scaling_config
        running: Any = self.run_config
        run_dir = Path(running.storage_path) / running.name
        given["failure_policy"] = TellingFailurePolicy(
            running.failure_config, reached=partial(newest_checkpoint, run_dir)
        )
        if scaling.elasticity_enabled:
            given["scaling_policy"] = FreeRoomPolicy(scaling)
        return super()._initialize_and_run_controller(**given)  # type: ignore[misc]  # V2's; the annotations are V1's
