"""Evidence for the gates, and how sure a mean over days is."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss as sklearn_log_loss

from heliostat.blocks import block_mean, one_sided_95, sums_by_block
from heliostat.errors import ContractError
from heliostat.gates import AtMost, BetterThanConstant, Hold, NoWorseThanChampion, Promote, decide
from heliostat.govern.evidence import evidence, paired
from heliostat.metrics import auc, log_loss

DAYS = np.repeat(np.arange(7), 200)


def hold_out(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 7 days and the probabilities they were drawn with."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.05, 0.95, len(DAYS))
    return (random.random(len(DAYS)) < truth).astype(np.float64), truth


def blurred(truth: np.ndarray) -> np.ndarray:
    return 0.5 * truth + 0.25


def found(labels: np.ndarray, probabilities: np.ndarray, champion: np.ndarray | None = None):
    return evidence(
        labels,
        probabilities,
        champion=None if champion is None else 1,
        champion_answers=champion,
        constant=np.asarray(0.4),
        blocks=DAYS,
    )


def test_scores_are_those_of_the_labelled_rows():
    labels, truth = hold_out()
    result = found(labels, truth)
    assert result.num_rows == 1400
    assert result.candidate["log_loss"] == pytest.approx(sklearn_log_loss(labels, truth))
    assert result.constant["log_loss"] == pytest.approx(sklearn_log_loss(labels, np.full(1400, 0.4)))
    assert result.constant["auc"] == 0.5
    assert result.paired is None


def test_rows_without_a_label_are_left_out_of_every_number():
    labels, truth = hold_out()
    is_unknown = np.random.default_rng(1).random(1400) < 0.1
    partly = np.where(is_unknown, np.nan, labels)
    result, known = found(partly, truth, blurred(truth)), ~is_unknown
    alone = evidence(
        labels[known],
        truth[known],
        champion=1,
        champion_answers=blurred(truth)[known],
        constant=np.asarray(0.4),
        blocks=DAYS[known],
    )
    assert result == alone
    assert result.num_rows == known.sum() < 1400


def test_a_better_candidate_has_a_negative_difference_and_a_worse_one_a_positive():
    labels, truth = hold_out()
    better, worse = found(labels, truth, blurred(truth)).paired, found(labels, blurred(truth), truth).paired
    assert better is not None
    assert worse is not None
    assert better.mean_difference == pytest.approx(-worse.mean_difference)
    assert better.mean_difference < 0
    assert better.champion == 1
    assert better.score_by_metric["auc"] == found(labels, blurred(truth)).candidate["auc"]


def test_the_difference_is_that_of_the_two_losses():
    labels, truth = hold_out()
    result = found(labels, truth, blurred(truth))
    assert result.paired is not None
    losses = result.candidate["log_loss"] - result.paired.score_by_metric["log_loss"]
    assert result.paired.mean_difference == pytest.approx(losses)


def test_the_same_answers_are_no_worse_and_certain():
    labels, truth = hold_out()
    result = found(labels, truth, truth).paired
    assert result is not None
    assert (result.mean_difference, result.standard_error) == (0.0, 0.0)
    assert NoWorseThanChampion(log_loss).check(found(labels, truth, truth)).passed


def test_rows_alike_within_a_day_widen_the_error():
    labels = np.zeros(1400)
    by_day = np.repeat(np.random.default_rng(2).uniform(0.1, 0.5, 7), 200)
    one = paired(labels, by_day, champion=1, champion_answers=np.full(1400, 0.3), blocks=DAYS)
    rows = paired(labels, by_day, champion=1, champion_answers=np.full(1400, 0.3), blocks=np.arange(1400))
    assert one.standard_error > 5 * rows.standard_error


def test_with_fewer_than_three_days_each_row_is_a_block():
    labels, truth = hold_out()
    few = paired(labels, truth, champion=1, champion_answers=blurred(truth), blocks=DAYS // 4)
    rows = paired(labels, truth, champion=1, champion_answers=blurred(truth), blocks=np.arange(1400))
    assert few.standard_error == rows.standard_error
    assert math.isfinite(few.standard_error)


def test_the_bound_of_seven_equal_days_is_wrong_once_in_twenty():
    """Differences by day of mean 0: the one-sided bound must lie above 0 in 5% of the cases."""
    random, wrong = np.random.default_rng(3), 0
    for _ in range(2000):
        mean = block_mean(random.normal(0, 1, 7) * 200, np.full(7, 200.0))
        wrong += mean.mean - one_sided_95(7) * mean.standard_error > 0
    assert 0.035 <= wrong / 2000 <= 0.065


def test_no_labelled_rows_are_never_promoted():
    nothing = np.full(1400, np.nan)
    result = found(nothing, np.full(1400, 0.3), np.full(1400, 0.3))
    assert result.num_rows == 0
    for gate in (NoWorseThanChampion(log_loss), BetterThanConstant(log_loss), AtMost(log_loss, 9.0), AtMost(auc, 0.0)):
        assert isinstance(decide([gate], result), Hold)


def test_the_default_gates_promote_the_better_and_hold_the_worse():
    labels, truth = hold_out()
    gates = [BetterThanConstant(log_loss), NoWorseThanChampion(log_loss)]
    assert isinstance(decide(gates, found(labels, truth, blurred(truth))), Promote)
    assert isinstance(decide(gates, found(labels, blurred(truth), truth)), Hold)


def test_misfitting_rows_and_broken_answers_are_refused():
    labels, truth = hold_out()
    with pytest.raises(ContractError, match="1400, 7 and 1400"):
        found(labels, truth[:7])
    with pytest.raises(ContractError, match="1 of 1400 answers"):
        found(labels, np.where(np.arange(1400) == 5, np.nan, truth))
    with pytest.raises(ContractError, match="1400 answers"):
        found(labels, truth, np.full(1400, np.inf))


@pytest.mark.parametrize("num_blocks", [3, 4, 7, 14, 30, 100, 10_000])
def test_the_bound_is_students(num_blocks):
    assert one_sided_95(num_blocks) == pytest.approx(stats.t.ppf(0.95, num_blocks - 1), rel=0.015)


def test_fewer_than_three_blocks_bound_nothing():
    assert one_sided_95(2) == math.inf
    assert block_mean(np.array([1.0, 5.0]), np.array([10.0, 10.0])).standard_error == math.inf
    empty = block_mean(np.array([]), np.array([]))
    assert math.isnan(empty.mean)
    assert (empty.num_rows, empty.num_blocks) == (0, 0)


def test_blocks_of_one_row_give_the_ordinary_standard_error():
    values = np.random.default_rng(4).normal(size=500)
    mean = block_mean(*sums_by_block(values, np.arange(500)))
    assert mean.mean == pytest.approx(values.mean())
    assert mean.standard_error == pytest.approx(stats.sem(values))


def test_empty_blocks_are_not_blocks():
    with_empty = block_mean(np.array([1.0, 0.0, 2.0, 3.0]), np.array([2.0, 0.0, 2.0, 2.0]))
    assert with_empty == block_mean(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
