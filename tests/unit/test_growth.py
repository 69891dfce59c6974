"""Growth as a reason to retrain: how much is new is measured in labelled rows, against what was trained on."""

import json
from dataclasses import replace

import pytest

from heliostat.errors import WorkloadError
from heliostat.triggers import Growth
from heliostat.watch.conditions import grown
from heliostat.watch.events import ChampionChanged, Tick, TurnEnded
from heliostat.watch.monitor import MonitorState
from tests.unit.test_monitor import DAY, START, cohort, told

GROWTH = Growth(0.25)


def champion(num_training_rows=10_000, *, version=1, at=START):
    return ChampionChanged(at=at, version=version, trained_until=at, num_training_rows=num_training_rows)


def watching(num_training_rows=10_000):
    state = MonitorState([GROWTH])
    assert state.handle(champion(num_training_rows)) == []
    return state


@pytest.mark.parametrize("share", [0, -0.1])
def test_growth_by_nothing_is_refused(share):
    with pytest.raises(WorkloadError, match="must be above 0"):
        Growth(share)


def test_growth_asks_with_the_row_that_reaches_the_share_and_not_before():
    state = watching()
    assert told(state, [cohort(day, 0.5, num_labelled=800) for day in range(3)]) == []
    assert told(state, [cohort(3, 0.5, num_labelled=99, num_predictions=150)]) == []
    [asked] = told(state, [cohort(3, 0.5, num_labelled=100, num_predictions=150)])  # one more late label
    assert asked.onset_at == asked.detected_at == START + 4 * DAY
    assert asked.reasons == ("2,500 labelled rows are new, 25% of the 10,000 trained on",)
    assert asked.evidence["conditions"][0]["num_new"] == 2500


def test_growth_is_said_once_and_again_after_the_turn():
    state = watching()
    assert len(told(state, [cohort(day, 0.5) for day in range(6)])) == 1
    assert told(state, [TurnEnded(at=START + 6 * DAY), Tick(at=START + 6 * DAY)]) == []
    assert len(told(state, [cohort(6, 0.5)])) == 1


def test_a_new_champion_counts_from_nothing_and_needs_more():
    state = watching()
    told(state, [cohort(day, 0.5) for day in range(3)])
    state.handle(champion(12_700, version=2, at=START + 3 * DAY))
    assert told(state, [cohort(day, 0.5, version=2) for day in range(3, 6)]) == []  # 2,700 of 3,175
    assert len(told(state, [cohort(6, 0.5, version=2)])) == 1


def test_rows_without_a_label_teach_nothing():
    state = watching()
    found = told(state, [cohort(day, 0.5, num_labelled=1, num_predictions=5000) for day in range(9)])
    assert all("have a label" in one.reason for one in found)


def test_rows_answered_by_a_candidate_count_too():
    rows = [cohort(0, 0.5, num_labelled=1300), cohort(1, 0.5, num_labelled=1200, version=2)]
    assert grown(GROWTH, rows, champion=champion()) is not None
    assert grown(GROWTH, rows[:1], champion=champion()) is None


def test_what_a_champion_was_trained_on_must_be_known():
    assert told(watching(num_training_rows=0), [cohort(day, 0.5) for day in range(9)]) == []


def test_growth_survives_a_restart_between_any_two_cohorts():
    days = [cohort(day, 0.5, num_labelled=700) for day in range(8)]
    state, found = watching(), []
    for day in days:
        state = MonitorState.from_json(json.loads(json.dumps(state.to_json())), triggers=[GROWTH])
        found += state.handle(day)
    assert found == told(watching(), days)
    assert [one.detected_at for one in found] == [START + 4 * DAY]


def test_turns_after_growth_come_at_growing_distances():
    state, turned_at, num_rows, distances = watching(2000), START, 2000, []
    for day in range(40):
        one = cohort(day, 0.5, num_labelled=250, num_predictions=250, version=len(distances) + 1)
        if told(state, [one]):
            distances.append((one.until - turned_at) // DAY)
            num_rows += 250 * distances[-1]
            turned_at = one.until
            state.handle(champion(num_rows, version=len(distances) + 1, at=turned_at))
    assert distances == sorted(distances)
    assert distances[0] < distances[-1]


def paying(*, has_won=True):
    state = MonitorState([Growth(0.5, while_paying=0.25)])
    state.handle(replace(champion(), has_won=has_won))
    return state


def test_after_a_turn_that_surely_won_less_growth_is_enough():
    rows = [cohort(day, 0.5) for day in range(3)]  # 3,000 of 10,000
    assert len(told(paying(), rows)) == 1
    assert told(paying(has_won=False), rows) == []


def test_a_turn_in_vain_ends_that_until_another_one_wins():
    state = paying()
    state.handle(TurnEnded(at=START, is_in_vain=True))
    assert told(state, [cohort(day, 0.5) for day in range(3)]) == []
    state.handle(replace(champion(version=2, at=START + 3 * DAY), has_won=True))
    assert len(told(state, [cohort(day, 0.5, version=2) for day in range(3, 6)])) == 1


def test_a_turn_in_vain_that_is_told_after_a_later_one_won_does_not_end_it():
    state = MonitorState([Growth(0.5, while_paying=0.25)])
    state.handle(replace(champion(at=START + 3 * DAY), has_won=True))
    state.handle(TurnEnded(at=START + DAY, is_in_vain=True))
    assert len(told(state, [cohort(day, 0.5) for day in range(3, 6)])) == 1


def test_a_turn_that_was_promoted_does_not_end_it():
    state = paying()
    state.handle(TurnEnded(at=START))
    assert len(told(state, [cohort(day, 0.5) for day in range(3)])) == 1


def test_that_a_turn_won_survives_a_restart_and_states_of_before_say_no():
    stored = json.loads(json.dumps(paying().to_json()))
    trigger = [Growth(0.5, while_paying=0.25)]
    rows = [cohort(day, 0.5) for day in range(3)]
    assert len(told(MonitorState.from_json(stored, triggers=trigger), rows)) == 1
    del stored["champion"]["has_won"]
    assert told(MonitorState.from_json(stored, triggers=trigger), rows) == []


@pytest.mark.parametrize("share", [0, -0.1, 0.6])
def test_a_share_while_paying_lies_below_the_usual_one(share):
    with pytest.raises(WorkloadError, match="while_paying must lie above 0"):
        Growth(0.5, while_paying=share)
