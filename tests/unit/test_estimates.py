"""Quality before labels arrive: right under its assumption, checked afterwards, and added up exactly."""

import math

import numpy as np
import pytest

from heliostat.metrics import auc, brier, log_loss
from heliostat.watch.estimates import AnswerTally, estimate_error, estimates


def answers(num_rows, seed, *, a=1.0, b=2.0):
    return np.random.default_rng(seed).beta(a, b, num_rows)


@pytest.mark.parametrize("shape", [(1.0, 2.0), (0.3, 6.0), (4.0, 4.0)])
def test_calibrated_answers_know_their_scores_before_labels_arrive(shape):
    p = answers(200_000, seed=1, a=shape[0], b=shape[1])
    labels = (np.random.default_rng(2).random(len(p)) < p).astype(float)
    told = estimates(AnswerTally.of(p))
    assert told["log_loss"] == pytest.approx(log_loss(labels, p), abs=0.005)
    assert told["brier"] == pytest.approx(brier(labels, p), abs=0.003)
    assert told["auc"] == pytest.approx(auc(labels, p), abs=0.005)
    assert told["accuracy"] == pytest.approx(((p >= 0.5) == (labels > 0.5)).mean(), abs=0.003)


def test_a_shift_of_the_inputs_is_followed_without_labels():
    easy, hard = answers(50_000, seed=3, a=0.3, b=0.3), answers(50_000, seed=4, a=6.0, b=6.0)
    assert estimates(AnswerTally.of(hard))["auc"] < estimates(AnswerTally.of(easy))["auc"] - 0.1


def test_turned_labels_are_invisible_until_they_come_and_then_the_estimate_is_said_to_be_wrong():
    p = answers(20_000, seed=5)
    labels = (np.random.default_rng(6).random(len(p)) > p).astype(float)
    told = estimates(AnswerTally.of(p))["log_loss"]
    found = estimate_error([(log_loss(labels, p), told, len(p))])
    assert found is not None
    assert found.bias > 0.3


def test_tallies_of_any_parts_in_any_order_add_up_to_the_tally_of_the_whole():
    p = answers(5_000, seed=7)
    parts = [AnswerTally.of(part) for part in np.array_split(np.random.default_rng(8).permutation(p), 13)]
    total = AnswerTally()
    for part in reversed(parts):
        total = total + part
    assert total == AnswerTally.of(p)
    assert AnswerTally.from_json(total.to_json()) == total


def test_no_answers_and_answers_that_are_no_numbers_estimate_nothing():
    assert estimates(AnswerTally()) == {}
    assert AnswerTally.of(np.array([math.nan, 0.5])).num_rows == 1


def test_sure_answers_have_finite_estimates():
    told = estimates(AnswerTally.of(np.array([0.0, 1.0, 0.0])))
    assert told["accuracy"] == pytest.approx(1.0, abs=1e-5)
    assert all(math.isfinite(value) for value in told.values())


def test_errors_of_estimates_weigh_cohorts_by_their_labels():
    found = estimate_error([(0.5, 0.4, 300), (0.2, 0.4, 100), (math.nan, 0.4, 50), (0.4, 0.4, 0)])
    assert (found.num_rows, found.num_cohorts) == (400, 2)
    assert found.bias == pytest.approx(0.025)
    assert found.mean_absolute == pytest.approx(0.125)
    assert estimate_error([]) is None
