"""What the scheduler of a search keeps for the case that the search is killed."""

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from heliostat.learn.room import Demand
from jobs._tuning_search import FillingScheduler, Room


class Controller:
    """A search without trials that wait; `stored` is how often it was told to store what it knows."""

    stored = 0

    def get_trials(self):
        return []

    def checkpoint(self, *, force):
        self.stored += force


@pytest.fixture
def begun(tmp_path):
    """A scheduler as each start of the same search has one."""

    def begin():
        room = Room(Demand(per_trial=0.5, kept_free=0.0, max_concurrent=2), uses_gpu=False)
        options = {"time_attr": "epochs", "metric": "score", "mode": "min", "max_t": 8, "stop_last_trials": False}
        return FillingScheduler(room, kept_in=str(tmp_path / "compared"), grace_period=1, reduction_factor=2, **options)

    return begin


def trial():
    return Trial("trial", stub=True)


def test_a_search_is_stored_once_for_each_trial_that_ended(begun):
    controller, scheduler, first = Controller(), begun(), trial()
    scheduler.on_trial_add(controller, first)
    scheduler.choose_trial_to_run(controller)
    assert controller.stored == 0
    scheduler.on_trial_complete(controller, first, {"epochs": 1, "score": 0.1})
    scheduler.choose_trial_to_run(controller)
    scheduler.choose_trial_to_run(controller)
    assert controller.stored == 1


def test_a_search_that_goes_on_compares_with_the_trials_that_ended_before(begun):
    controller, before, after = Controller(), begun(), begun()
    for score in (0.1, 0.2):
        ended = trial()
        before.on_trial_add(controller, ended)
        before.on_trial_complete(controller, ended, {"epochs": 1, "score": score})
        before.choose_trial_to_run(controller)
    worse = trial()
    after.on_trial_add(controller, worse)
    assert after.on_trial_result(controller, worse, {"epochs": 1, "score": 0.9}) == TrialScheduler.STOP
