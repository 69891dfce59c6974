"""Gates: each one's edge, and what a decision says."""

import math

import pytest

from heliostat.errors import WorkloadError
from heliostat.gates import AtMost, BetterThanConstant, Evidence, Hold, NoWorseThanChampion, Paired, Promote, decide
from heliostat.metrics import auc, brier, log_loss


def evidence(*, loss: float = 0.5, constant: float = 0.55, paired: Paired | None = None, area: float = 0.7) -> Evidence:
    return Evidence(
        num_rows=1000,
        candidate={"log_loss": loss, "auc": area},
        constant={"log_loss": constant, "auc": 0.5},
        paired=paired,
    )


def against_champion(difference: float, error: float) -> Evidence:
    return evidence(
        paired=Paired(champion=1, num_rows=1000, mean_difference=difference, standard_error=error, score_by_metric={})
    )


@pytest.mark.parametrize(("loss", "passed"), [(0.49, True), (0.5, True), (0.51, False), (math.nan, False)])
def test_at_most_holds_up_to_its_limit(loss, passed):
    assert AtMost(log_loss, 0.5).check(evidence(loss=loss)).passed is passed


@pytest.mark.parametrize(("area", "passed"), [(0.71, True), (0.7, True), (0.69, False), (math.nan, False)])
def test_at_most_is_at_least_where_higher_is_better(area, passed):
    assert AtMost(auc, 0.7).check(evidence(area=area)).passed is passed


@pytest.mark.parametrize(("loss", "passed"), [(0.54, True), (0.55, False), (0.56, False), (math.nan, False)])
def test_a_tie_with_the_constant_is_not_better(loss, passed):
    assert BetterThanConstant(log_loss).check(evidence(loss=loss)).passed is passed


@pytest.mark.parametrize(
    ("champion", "difference", "error", "passed"),
    [
        (0.9, -0.3, 0.1, True),
        (0.9, -0.1, 0.1, False),  # not surely better than the champion
        (0.5, -0.3, 0.1, False),  # the champion beats the constant
    ],
)
def test_the_less_bad_of_two_passes_only_where_asked_for_and_only_surely(champion, difference, error, passed):
    found = evidence(
        loss=0.6,
        paired=Paired(
            champion=1,
            num_rows=1000,
            mean_difference=difference,
            standard_error=error,
            score_by_metric={"log_loss": champion},
        ),
    )
    assert BetterThanConstant(log_loss, or_less_bad=True).check(found).passed is passed
    assert not BetterThanConstant(log_loss).check(found).passed
    assert not BetterThanConstant(log_loss, or_less_bad=True).check(evidence(loss=0.6)).passed


@pytest.mark.parametrize(("area", "passed"), [(0.51, True), (0.5, False), (0.4, False)])
def test_better_than_constant_knows_which_way_is_better(area, passed):
    assert BetterThanConstant(auc).check(evidence(area=area)).passed is passed


@pytest.mark.parametrize(
    ("difference", "error", "passed"),
    [
        (-0.1, 0.01, True),
        (0.0, 0.0, True),
        (0.01, 0.01, True),
        (0.0163, 0.01, True),
        (0.0165, 0.01, False),
        (0.1, 0.01, False),
        (0.1, math.inf, True),
        (math.nan, math.inf, False),
    ],
)
def test_only_a_surely_worse_candidate_or_one_on_no_rows_loses_to_the_champion(difference, error, passed):
    assert NoWorseThanChampion(log_loss).check(against_champion(difference, error)).passed is passed


def test_a_margin_forgives_that_much():
    assert NoWorseThanChampion(log_loss, margin=0.05).check(against_champion(0.04, 0.0)).passed
    assert not NoWorseThanChampion(log_loss, margin=0.05).check(against_champion(0.06, 0.0)).passed


def test_the_first_candidate_has_no_champion_to_beat():
    assert NoWorseThanChampion(log_loss).check(evidence()).passed


@pytest.mark.parametrize("metric", [auc, brier], ids=str)
def test_a_metric_that_is_not_compared_row_by_row_is_refused_at_once(metric):
    with pytest.raises(WorkloadError, match="Use NoWorseThanChampion"):
        NoWorseThanChampion(metric)


def test_a_promotion_names_every_gate_and_a_hold_every_failure():
    gates = [BetterThanConstant(log_loss), AtMost(log_loss, 0.52), AtMost(auc, 0.6)]
    promoted = decide(gates, evidence())
    assert isinstance(promoted, Promote)
    assert len(promoted.reasons) == 3
    refused = decide(gates, evidence(loss=0.53))
    assert isinstance(refused, Hold)
    assert refused.reasons == ("log_loss 0.5300, at most 0.52 asked",)


def test_no_gates_stop_nobody():
    assert decide([], evidence()) == Promote(())
