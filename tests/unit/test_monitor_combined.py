"""Triggers that are declared together: they ask when all hold, and say each reason."""

from dataclasses import replace

import pytest

from heliostat import AllOf, Decay, Growth
from heliostat.metrics import log_loss
from heliostat.watch.events import Retrain, Tick, TurnEnded
from tests.unit.test_monitor import AGE, DAY, DECAY, DRIFT, START, champion, cohort, monitor, told, window

DRIFTED = [window(day, 0.6) for day in range(3)]
DECAYED = [cohort(day, 0.9) for day in range(6)]


@pytest.mark.parametrize("alone", [DRIFTED, DECAYED])
def test_one_of_two_conditions_asks_nothing(alone):
    assert told(monitor(AllOf(DRIFT, DECAY)), alone) == []


@pytest.mark.parametrize("events", [[*DRIFTED, *DECAYED], [*DECAYED, *DRIFTED]])
def test_both_ask_once_with_the_reasons_and_kinds_of_each(events):
    (ask,) = told(monitor(AllOf(DRIFT, DECAY)), events)
    assert isinstance(ask, Retrain)
    assert ["drifted" in ask.reasons[0], "log_loss worse" in ask.reasons[1]] == [True, True]
    assert [one["trigger"] for one in ask.evidence["conditions"]] == ["drift", "decay"]
    assert ask.onset_at == START


def test_a_condition_that_no_longer_holds_is_not_added_to_one_that_comes_later():
    calm_again = [*DRIFTED, window(3, 0.0), window(4, 0.0)]
    assert told(monitor(AllOf(DRIFT, DECAY)), [*calm_again, *DECAYED]) == []


def test_the_clock_alone_completes_a_combination():
    state = monitor(AllOf(DRIFT, AGE))
    assert told(state, DRIFTED) == []
    (ask,) = told(state, [Tick(at=START + 31 * DAY)])
    assert [one["trigger"] for one in ask.evidence["conditions"]] == ["drift", "age"]


def test_a_combination_stands_beside_triggers_that_ask_alone_and_is_said_again_after_the_turn():
    state = monitor(DRIFT, AllOf(DRIFT, AGE))
    assert len(told(state, DRIFTED)) == 1
    assert len(told(state, [Tick(at=START + 31 * DAY), Tick(at=START + 32 * DAY)])) == 1
    assert len(told(state, [TurnEnded(at=START + 33 * DAY), Tick(at=START + 34 * DAY)])) == 1


def test_a_sudden_decay_counts_within_a_combination():
    rare, grown = Decay(log_loss, margin=0.02, min_rows=1_000_000), Growth(0.1)
    events = [replace(champion(2), num_training_rows=1000), *(cohort(day, 3.0, version=2) for day in range(20))]
    assert told(monitor(AllOf(rare, grown)), events) == []
    (ask,) = told(monitor(AllOf(replace(rare, sudden_rows=1000), grown)), events)
    assert [one["trigger"] for one in ask.evidence["conditions"]] == ["decay", "growth"]


def test_a_champion_without_a_score_for_a_combined_decay_is_said():
    unscored = replace(champion(2), reference_by_metric={})
    (alert,) = told(monitor(AllOf(DRIFT, DECAY)), [unscored])
    assert "its decay cannot be seen" in alert.reason
