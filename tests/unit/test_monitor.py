"""The monitor: what is said, when, how often, and what is not a reason."""

import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heliostat import Age, Decay, Drift, Growth
from heliostat.metrics import auc, log_loss
from heliostat.triggers import Trigger
from heliostat.watch.drift import ColumnDrift
from heliostat.watch.events import (
    Alert,
    ChampionChanged,
    CohortMatured,
    CohortScore,
    Decision,
    Event,
    ReferenceScore,
    Retrain,
    Tick,
    TurnEnded,
    WindowClosed,
)
from heliostat.watch.monitor import NUM_KEPT, MonitorState

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DRIFT, DECAY, AGE = Drift(psi=0.2, windows=2), Decay(log_loss, margin=0.02, min_rows=1000), Age(30 * DAY)


def champion(version: int = 1, *, at: datetime = START, score: float = 0.5) -> ChampionChanged:
    reference = {
        "log_loss": ReferenceScore(score=score, num_rows=5000),
        "auc": ReferenceScore(score=0.7, num_rows=5000),
    }
    return ChampionChanged(at=at, version=version, trained_until=at, reference_by_metric=reference)


def window(day: int, psi: float, *, version: int = 1, num_rows: int = 900, column: str = "load") -> WindowClosed:
    return WindowClosed(
        since=START + day * DAY,
        until=START + (day + 1) * DAY,
        version=version,
        num_rows=num_rows,
        drift_by_column={
            column: ColumnDrift(psi=psi, floor=0.01),
            "calm": ColumnDrift(psi=0.0, floor=0.01),
            "probability": ColumnDrift(psi=9.0, floor=0.0),
        },
    )


def cohort(
    day: int, loss: float, *, num_labelled: int = 900, num_predictions: int = 1000, version: int = 1
) -> CohortMatured:
    score = CohortScore(
        num_predictions=num_predictions,
        num_labelled=num_labelled,
        score_by_metric={"log_loss": loss, "auc": 1.2 - loss},
    )
    since = START + day * DAY
    return CohortMatured(since=since, until=since + DAY, score_by_version={version: score})


def monitor(*triggers: Trigger) -> MonitorState:
    state = MonitorState(triggers)
    assert state.handle(champion()) == []
    return state


def told(state: MonitorState, events: Sequence[Event]) -> list[Decision]:
    return [decision for event in events for decision in state.handle(event)]


def test_drift_in_enough_windows_in_a_row_asks_once_with_the_first_as_onset():
    state = monitor(DRIFT)
    assert state.handle(window(0, 0.1)) == []
    assert state.handle(window(1, 0.5)) == []
    [asked] = state.handle(window(2, 0.5))
    assert isinstance(asked, Retrain)
    assert (asked.onset_at, asked.detected_at) == (START + DAY, START + 3 * DAY)
    assert "load" in asked.reasons[0]
    assert told(state, [window(day, 0.9) for day in range(3, 9)]) == []


def test_a_calm_window_forgets_earlier_drift():
    state = monitor(DRIFT)
    assert told(state, [window(day, psi) for day, psi in enumerate((0.5, 0.1, 0.5, 0.1, 0.5))]) == []


def test_the_runs_of_different_columns_are_not_added():
    state = monitor(DRIFT)
    assert told(state, [window(0, 0.5, column="load"), window(1, 0.5, column="wind")]) == []


def test_an_index_within_its_noise_is_not_drift():
    noisy = WindowClosed(
        since=START,
        until=START + DAY,
        version=1,
        num_rows=40,
        drift_by_column={"load": ColumnDrift(psi=0.5, floor=0.4)},
    )
    assert monitor(Drift(psi=0.2, windows=1)).handle(noisy) == []


def test_a_thin_window_neither_breaks_nor_lengthens_a_run():
    state = monitor(DRIFT)
    assert told(state, [window(0, 0.5), window(1, 0.9, num_rows=5), window(2, 0.0, num_rows=5)]) == []
    assert len(state.handle(window(3, 0.5))) == 1


def test_moving_answers_alone_are_not_drift_of_the_inputs():
    assert told(monitor(DRIFT), [window(day, 0.0) for day in range(9)]) == []


def test_windows_measured_against_another_versions_profile_say_nothing():
    state = monitor(DRIFT)
    assert told(state, [window(day, 0.9, version=7) for day in range(5)]) == []


def test_a_window_told_twice_counts_once():
    state = monitor(DRIFT)
    assert told(state, [window(0, 0.5)] * 5) == []


def test_a_window_told_again_after_late_rows_replaces_itself():
    state = monitor(DRIFT)
    assert told(state, [window(0, 0.5), window(0, 0.1), window(1, 0.5)]) == []
    [asked] = state.handle(window(0, 0.5))
    assert (asked.onset_at, asked.detected_at) == (START, START + 2 * DAY)


def test_decay_asks_when_the_loss_is_surely_worse_than_the_hold_outs():
    state = monitor(DECAY)
    losses = [0.50, 0.51, 0.49, 0.50, 0.64, 0.66, 0.65, 0.66, 0.65, 0.66]
    [asked] = told(state, [cohort(day, loss) for day, loss in enumerate(losses)])
    assert isinstance(asked, Retrain)
    assert asked.onset_at == START + 4 * DAY
    assert asked.detected_at > asked.onset_at
    assert asked.evidence["conditions"][0]["metric"] == "log_loss"


def test_decay_knows_that_a_higher_auc_is_better():
    better, worse = 0.4, 0.6  # auc 0.8 and 0.6 against 0.7
    trigger = Decay(auc, margin=0.02, min_rows=1000)
    assert told(monitor(trigger), [cohort(day, better) for day in range(9)]) == []
    assert len(told(monitor(trigger), [cohort(day, worse) for day in range(9)])) == 1


def test_a_better_loss_is_never_decay():
    assert told(monitor(DECAY), [cohort(day, 0.3) for day in range(30)]) == []


def test_too_few_matured_rows_decide_nothing():
    assert told(monitor(DECAY), [cohort(day, 0.9, num_labelled=90, num_predictions=99) for day in range(9)]) == []


def test_two_cohorts_decide_nothing_however_many_rows_they_hold():
    big = [cohort(day, 0.9, num_labelled=100_000, num_predictions=100_000) for day in range(2)]
    assert told(monitor(DECAY), big) == []


def test_loss_that_scatters_from_day_to_day_is_not_decay_on_the_same_mean():
    steady = [cohort(day, 0.55) for day in range(6)]
    wild = [cohort(day, loss) for day, loss in enumerate((0.2, 0.9, 0.2, 0.9, 0.2, 0.9))]
    assert len(told(monitor(DECAY), steady)) == 1
    assert told(monitor(DECAY), wild) == []


def test_false_alarms_of_decay_are_rare_on_calm_days():
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        days = [cohort(day, loss) for day, loss in enumerate(random.normal(0.5, 0.1, 30))]
        alarms += len(told(monitor(DECAY), days)) > 0
    assert alarms <= 15  # 28 looks each, on the margin of 0.02


def test_missing_labels_are_not_decay():
    found = told(monitor(DECAY), [cohort(day, 0.9, num_labelled=100) for day in range(20)])
    assert [type(one) for one in found] == [Alert]
    assert "10%" in found[0].reason


def test_some_rows_without_a_label_are_normal():
    assert told(monitor(DECAY), [cohort(day, 0.5, num_labelled=600) for day in range(20)]) == []


def test_missing_labels_are_said_again_only_after_they_came_back():
    state = monitor(DECAY)
    days = [cohort(day, 0.5, num_labelled=n) for day, n in enumerate((100, 100, 900, 100, 100))]
    assert len(told(state, days)) == 2


def test_a_late_label_changes_its_cohort_and_counts_once():
    state, fresh = monitor(DECAY), monitor(DECAY)
    first = [cohort(day, 0.5, num_labelled=600) for day in range(5)]
    last = [cohort(day, 0.5, num_labelled=900) for day in range(5)]
    assert told(state, first + last) == told(fresh, last) == []
    assert state.to_json()["cohorts"] == fresh.to_json()["cohorts"]


def test_answers_of_other_versions_and_days_before_the_champion_do_not_count():
    state = monitor(DECAY)
    assert told(state, [cohort(day, 0.9, version=2) for day in range(9)]) == []
    assert told(state, [cohort(day, 0.9) for day in range(-9, 0)]) == []


def test_a_day_with_one_class_only_has_no_auc_and_is_left_out():
    trigger = Decay(auc, margin=0.02, min_rows=1000)
    state = monitor(trigger)
    assert told(state, [cohort(day, math.nan) for day in range(5)]) == []
    assert len(told(state, [cohort(day, 0.9) for day in range(5, 9)])) == 1


def test_a_reference_that_is_itself_unsure_asks_later():
    unsure = ChampionChanged(
        at=START,
        version=1,
        trained_until=START,
        reference_by_metric={"log_loss": ReferenceScore(score=0.5, num_rows=500, standard_error=0.1)},
    )
    days = [cohort(day, 0.6) for day in range(9)]
    assert len(told(monitor(DECAY), days)) == 1
    assert told(MonitorState([DECAY]), [unsure, *days]) == []


def test_a_champion_without_a_hold_out_score_is_said():
    bare = ChampionChanged(at=START, version=3, trained_until=START)
    [alert] = MonitorState([DECAY, AGE]).handle(bare)
    assert isinstance(alert, Alert)
    assert "log_loss" in alert.reason


def test_age_asks_once_when_the_limit_is_passed():
    state = monitor(AGE)
    assert state.handle(Tick(at=START + 30 * DAY)) == []
    [asked] = state.handle(Tick(at=START + 31 * DAY))
    assert (asked.onset_at, asked.detected_at) == (START + 30 * DAY, START + 31 * DAY)
    assert state.handle(Tick(at=START + 32 * DAY)) == []


def test_a_condition_that_still_holds_is_said_again_after_the_turn():
    state = monitor(AGE, DRIFT)
    assert len(told(state, [Tick(at=START + 31 * DAY), window(31, 0.5), window(32, 0.5)])) == 2
    assert state.handle(TurnEnded(at=START + 33 * DAY)) == []
    assert len(state.handle(Tick(at=START + 33 * DAY))) == 1
    [asked] = state.handle(window(33, 0.5))
    assert asked.onset_at == START + 31 * DAY


def test_a_new_champion_starts_from_nothing():
    state = monitor(DRIFT, DECAY, AGE)
    told(state, [window(0, 0.5), *(cohort(day, 0.9) for day in range(9)), Tick(at=START + 31 * DAY)])
    assert state.handle(champion(2, at=START + 31 * DAY)) == []
    assert state.champion == champion(2, at=START + 31 * DAY)
    assert told(state, [window(32, 0.5, version=2), Tick(at=START + 40 * DAY)]) == []
    assert len(state.handle(window(33, 0.5, version=2))) == 1


def test_the_same_champion_told_twice_forgets_nothing():
    state = monitor(DRIFT)
    assert told(state, [window(0, 0.5), champion(), champion()]) == []
    assert len(state.handle(window(1, 0.5))) == 1


def test_a_champion_that_comes_back_starts_anew():
    state = monitor(DRIFT)
    told(state, [window(0, 0.5), champion(2, at=START + DAY), champion(1, at=START + 2 * DAY)])
    assert state.handle(window(3, 0.5)) == []


def test_before_the_first_champion_nothing_is_said():
    state = MonitorState([DRIFT, DECAY, AGE])
    assert (
        told(state, [window(0, 9.0), window(1, 9.0), cohort(0, 0.9), Tick(at=START + 99 * DAY), TurnEnded(at=START)])
        == []
    )


def test_two_conditions_of_one_kind_are_one_ask():
    state = monitor(DRIFT, Drift(psi=0.4, windows=2))
    [asked] = told(state, [window(0, 0.9), window(1, 0.9)])
    assert len(asked.reasons) == 2


def story(seed: int) -> list[Event]:
    """Weeks of days with drift, decay, turns and champions at random."""
    random = np.random.default_rng(seed)
    events: list[Event] = [champion()]
    version = 1
    for day in range(45):
        events.append(window(day, float(random.choice([0.0, 0.5])), version=version))
        events.append(cohort(day, float(random.normal(0.55, 0.05)), version=version))
        events.append(Tick(at=START + (day + 1) * DAY))
        if random.random() < 0.1:
            events.append(TurnEnded(at=START + (day + 1) * DAY))
        if random.random() < 0.1:
            version += 1
            events.append(champion(version, at=START + (day + 1) * DAY))
    return events


@pytest.mark.parametrize("seed", range(6))
def test_a_restart_after_any_event_changes_no_decision(seed):
    triggers = (DRIFT, DECAY, AGE)
    steady = told(MonitorState(triggers), story(seed))
    state, restarted = MonitorState(triggers), []
    for event in story(seed):
        restarted += state.handle(event)
        state = MonitorState.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False)), triggers=triggers)
    assert restarted == steady
    assert any(isinstance(one, Retrain) for one in steady)


@pytest.mark.parametrize("seed", range(6))
def test_every_event_told_twice_changes_no_decision(seed):
    events = [event for event in story(seed) if not isinstance(event, TurnEnded)]
    twice = [event for event in events for _ in range(2)]
    assert told(MonitorState((DRIFT, DECAY, AGE)), twice) == told(MonitorState((DRIFT, DECAY, AGE)), events)


def test_a_cohort_without_a_score_survives_storage():
    state = monitor(DECAY)
    state.handle(cohort(0, math.nan))
    stored = json.dumps(state.to_json(), allow_nan=False)
    again = MonitorState.from_json(json.loads(stored), triggers=[DECAY])
    assert json.dumps(again.to_json(), allow_nan=False) == stored


def test_growth_counts_labels_of_windows_that_are_remembered_no_more():
    state = MonitorState([Growth(1.0)])
    state.handle(replace(champion(), num_training_rows=500 * (NUM_KEPT + 100)))
    asked = []
    for day in range(1, NUM_KEPT + 102):
        asked += [(day, one) for one in state.handle(cohort(day, 0.5, num_labelled=500)) if isinstance(one, Retrain)]
        state.handle(cohort(max(1, day - NUM_KEPT - 5), 0.5, num_labelled=500))  # told again, long after
        if day % 50 == 0:
            state = MonitorState.from_json(json.loads(json.dumps(state.to_json())), triggers=[Growth(1.0)])
    assert [day for day, _ in asked] == [NUM_KEPT + 100]


def test_the_state_pickles():
    state = monitor(DRIFT, AGE)
    state.handle(window(0, 0.5))
    assert pickle.loads(pickle.dumps(state)).to_json() == state.to_json()


def test_a_sudden_decay_is_said_on_few_rows_but_only_beyond_doubt():
    sudden = replace(DECAY, min_rows=20_000, sudden_rows=1000)
    abrupt = [cohort(day, loss) for day, loss in enumerate([0.50, 0.51, 0.49, 0.50] + 12 * [0.9])]
    assert told(monitor(replace(DECAY, min_rows=20_000)), abrupt) == []
    [asked] = told(monitor(sudden), abrupt)
    assert isinstance(asked, Retrain)
    assert asked.onset_at == START + 4 * DAY
    assert asked.evidence["conditions"][0]["run_length"] == 1_000_000
    # Evidence that is enough for the usual test, once in a thousand windows, is not enough for the sudden one.
    slight = [cohort(day, loss) for day, loss in enumerate([0.47, 0.54, 0.46, 0.53] + 3 * [0.59, 0.65])]
    assert len(told(monitor(DECAY), slight)) == 1
    assert told(monitor(sudden), slight) == []


def test_a_sudden_decay_that_goes_on_is_also_said_as_decay_and_each_once():
    asked = told(
        monitor(replace(DECAY, min_rows=6000, sudden_rows=1000)),
        [cohort(day, loss) for day, loss in enumerate([0.50, 0.51, 0.49, 0.50] + 26 * [0.9])],
    )
    lengths = [one["run_length"] for each in asked for one in each.evidence["conditions"]]
    assert lengths == [1_000_000, 1000]


def test_a_missing_reference_is_told_once_for_both_tests_of_decay():
    without = replace(champion(), reference_by_metric={})
    assert len(MonitorState((replace(DECAY, sudden_rows=100),)).handle(without)) == 1
