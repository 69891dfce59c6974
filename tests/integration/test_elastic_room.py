"""How many workers an elastic run asks for as its group begins, fails and loses nodes, by Ray's states; no cluster."""

from types import SimpleNamespace

import pytest
from ray.train.v2._internal.execution.controller.state import (
    InitializingState,
    ReschedulingState,
    RestartingState,
    RunningState,
    SchedulingState,
)
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision
from ray.train.v2.api.config import ScalingConfig

from jobs._elastic import FreeRoomPolicy

ALL = {node: {"CPU": 2.0} for node in "abc"}
PER_WORKER = {"CPU": 1.0}


class Cluster:
    """Nodes of two CPUs, what others use of them, and a policy that is told what becomes of its run."""

    def __init__(self) -> None:
        self.free = {node: {"CPU": 2.0} for node in "abc"}
        scaling = ScalingConfig(num_workers=(1, 4), resources_per_worker=PER_WORKER)
        self.policy = FreeRoomPolicy(scaling, free_by_node=lambda: self.free)
        self.state = InitializingState()

    def moves_to(self, state) -> None:
        self.policy.after_controller_state_update(self.state, state)
        self.state = state

    def begins(self, *nodes: str) -> None:
        """A group is placed on these nodes."""
        decision = ResizeDecision(num_workers=len(nodes), resources_per_worker=PER_WORKER)
        self.moves_to(SchedulingState(decision))
        for node in nodes:
            self.free[node] = {"CPU": self.free[node]["CPU"] - 1}
        self.moves_to(RunningState())

    def is_seen(self, *nodes: str) -> None:
        """The controller asks the policy while a group runs there, too early for another size."""
        workers = [SimpleNamespace(metadata=SimpleNamespace(node_id=node)) for node in nodes]
        group = SimpleNamespace(workers=workers, num_workers=len(workers), start_time=float("inf"))
        assert isinstance(self.policy.make_decision_for_running_worker_group(group, None), NoopDecision)

    def fails(self) -> None:
        self.moves_to(RestartingState(training_failed_error=Exception("a worker is lost")))

    def num_possible(self) -> int:
        return self.policy._count_possible_workers(ALL)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(FreeRoomPolicy, "_maybe_send_resource_request", lambda self: None)  # asks an actor of Ray
    return Cluster()


def test_a_run_asks_for_what_others_leave_and_never_for_more_than_declared(cluster):
    assert cluster.num_possible() == 4
    cluster.free = {"a": {"CPU": 1.0}, "b": {"CPU": 0.5}, "c": {}}
    assert cluster.num_possible() == 1


def test_the_places_of_workers_that_run_or_failed_are_its_own(cluster):
    cluster.free = {"a": {"CPU": 2.0}, "b": {}, "c": {}}
    cluster.begins("a", "a")
    assert cluster.num_possible() == 2
    cluster.is_seen("a", "a")
    assert cluster.num_possible() == 2
    cluster.fails()
    assert cluster.num_possible() == 2


def test_a_group_that_fails_before_it_was_seen_keeps_its_places(cluster):
    cluster.free = {"a": {"CPU": 1.0}, "b": {}, "c": {}}
    cluster.begins("a")
    cluster.fails()
    assert cluster.num_possible() == 1


def test_places_on_a_lost_node_are_lost_and_a_new_node_has_room(cluster):
    cluster.free = {"a": {"CPU": 1.0}, "b": {"CPU": 1.0}, "c": {}}
    cluster.begins("a", "b")
    cluster.is_seen("a", "b")
    del cluster.free["b"]
    cluster.fails()
    assert cluster.num_possible() == 1
    cluster.free["d"] = {"CPU": 2.0}
    assert cluster.num_possible() == 3


def test_a_group_that_could_not_be_placed_has_no_places(cluster):
    cluster.begins("a", "b")
    cluster.is_seen("a", "b")
    cluster.fails()
    cluster.moves_to(SchedulingState(ResizeDecision(num_workers=4, resources_per_worker=PER_WORKER)))
    cluster.moves_to(ReschedulingState(training_failed_error=Exception("not placed in time")))
    cluster.free = {"a": {}, "b": {"CPU": 1.0}, "c": {}}
    assert cluster.num_possible() == 1
