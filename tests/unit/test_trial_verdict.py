"""What live rows say about a candidate."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from heliostat import Loop
from heliostat.gates import Paired
from heliostat.govern.commands import TurnRecord
from heliostat.govern.events import Estimated, TrialSeen
from heliostat.govern.trial import FARTHER, MIN_DISTANCE, MIN_PAIRS, MIN_SCORED, SLOWER, fault, verdict

LOOP = Loop(max_model_ms=10)


AT = datetime(2024, 3, 1, tzinfo=UTC)


def seen(**given):
    return TrialSeen(**{"at": AT, "turn": 1, "paired": None, "num_scored": 500, **given})


def turn(**given):
    asked = {"turn": 1, "reasons": ("age",), "onset_at": AT, "detected_at": AT, "started_at": AT}
    return TurnRecord(**asked | {"expected_distance": 0.01} | given)


def test_a_candidate_that_answers_in_time_has_no_fault():
    assert fault(seen(model_ms=10.0, champion_model_ms=0.1), LOOP) is None
    assert fault(seen(), LOOP) is None


def test_a_slow_candidate_is_at_fault_unless_the_champion_is_as_slow():
    assert "takes 11.0 ms" in fault(seen(model_ms=11.0, champion_model_ms=1.0), LOOP)
    assert "takes 11.0 ms" in fault(seen(model_ms=11.0), LOOP)
    assert fault(seen(model_ms=11.0, champion_model_ms=11.0 / SLOWER), LOOP) is None


def test_a_few_slow_rows_show_nothing():
    assert fault(seen(model_ms=99.0, num_scored=MIN_SCORED - 1), LOOP) is None


@pytest.mark.parametrize(
    ("distance", "expected", "is_bad"),
    [
        (0.5, 0.01, True),
        (MIN_DISTANCE, 0.0, False),
        (0.5, 0.5 / FARTHER, False),
        (0.5, 0.49 / FARTHER, True),
        (0.5, None, False),
        (None, 0.1, False),
    ],
)
def test_answers_may_differ_as_they_did_on_the_hold_out_and_some_more(distance, expected, is_bad):
    found, reason = verdict(seen(distance=distance), LOOP, turn=turn(expected_distance=expected))
    assert found is is_bad
    assert ("on the hold-out" in reason) is is_bad


def test_where_labels_are_there_they_judge_and_another_answer_may_be_the_better_one():
    paired = Paired(champion=1, mean_difference=-0.1, standard_error=0.01, num_rows=MIN_PAIRS, score_by_metric={})
    found, reason = verdict(seen(paired=paired, distance=0.9), LOOP, turn=turn())
    assert not found
    assert reason.startswith("loss -0.1000")
    found, reason = verdict(seen(paired=replace(paired, mean_difference=0.1), distance=0.0), LOOP, turn=turn())
    assert found


def test_too_few_pairs_do_not_stand_in_the_way_of_the_distance():
    few = Paired(champion=1, mean_difference=-0.1, standard_error=0.01, num_rows=MIN_PAIRS - 1, score_by_metric={})
    assert verdict(seen(paired=few, distance=0.9), LOOP, turn=turn())[0]


CAREFUL = replace(LOOP, max_estimated_loss=0.05)


def estimated(difference, *, standard_error=0.01, num_rows=400):
    return Estimated(difference=difference, standard_error=standard_error, num_rows=num_rows)


@pytest.mark.parametrize(
    ("found", "usual", "is_bad"),
    [
        (estimated(0.20), 0.0, True),
        (estimated(0.20), 0.18, False),
        (estimated(0.06), 0.0, False),
        (estimated(0.20, standard_error=0.1), 0.0, False),
        (estimated(-0.30), -0.5, True),
        (estimated(0.20, num_rows=MIN_PAIRS - 1), 0.0, False),
        (estimated(0.20), None, False),
        (None, 0.0, False),
    ],
)
def test_without_labels_a_candidate_may_not_expect_much_more_loss_than_on_the_hold_out(found, usual, is_bad):
    is_withdrawn, reason = verdict(seen(estimated=found), CAREFUL, turn=turn(expected_estimate=usual))
    assert is_withdrawn is is_bad
    assert ("estimated without labels" in reason) is is_bad
    assert verdict(seen(estimated=found), LOOP, turn=turn(expected_estimate=usual))[0] is False


def test_labels_that_are_there_overrule_the_estimate():
    paired = Paired(champion=1, mean_difference=-0.1, standard_error=0.01, num_rows=MIN_PAIRS, score_by_metric={})
    doubted = seen(paired=paired, estimated=estimated(0.9))
    assert verdict(doubted, CAREFUL, turn=turn(expected_estimate=0.0))[0] is False
