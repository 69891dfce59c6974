"""Metrics against scikit-learn, and the edges it leaves open."""

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from heliostat.metrics import ALL, METRIC_BY_NAME, auc, brier, calibration_error, log_loss, log_losses, stored


def sample(seed: int, *, num_rows: int = 300, decimals: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = np.round(random.beta(2, 5, num_rows), decimals)
    return (random.random(num_rows) < probabilities).astype(np.float64), probabilities


@pytest.mark.parametrize("decimals", [12, 1])
@pytest.mark.parametrize("seed", range(10))
def test_scores_agree_with_scikit_learn_with_and_without_ties(seed, decimals):
    labels, probabilities = sample(seed, decimals=decimals)
    inside = np.clip(probabilities, 1e-7, 1 - 1e-7)
    assert log_loss(labels, probabilities) == pytest.approx(sklearn_log_loss(labels, inside), rel=1e-12)
    assert auc(labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities), rel=1e-12)
    assert brier(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities), rel=1e-12)


def test_integer_labels_and_single_precision_are_as_good():
    labels, probabilities = sample(1)
    for metric in ALL:
        exact = metric(labels, probabilities)
        assert metric(labels.astype(np.int64), probabilities.astype(np.float32)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("metric", ALL, ids=str)
def test_no_rows_have_no_score(metric):
    assert math.isnan(metric(np.array([]), np.array([])))


def test_one_class_alone_has_no_auc_but_a_loss():
    assert math.isnan(auc(np.zeros(5), np.linspace(0, 1, 5)))
    assert math.isnan(auc(np.ones(5), np.linspace(0, 1, 5)))
    assert math.isfinite(log_loss(np.zeros(5), np.full(5, 0.3)))


def test_a_certain_and_wrong_answer_costs_much_but_not_everything():
    losses = log_losses(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert np.isfinite(losses).all()
    assert losses == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_the_loss_is_the_mean_of_the_rows_losses():
    labels, probabilities = sample(2)
    assert log_loss(labels, probabilities) == pytest.approx(log_losses(labels, probabilities).mean())


def test_calibrated_answers_have_a_small_calibration_error_and_shifted_ones_their_shift():
    labels, probabilities = sample(3, num_rows=50_000)
    assert calibration_error(labels, probabilities) < 0.015
    assert calibration_error(labels, probabilities + 0.2) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_rows_changes_no_score(seed):
    labels, probabilities = sample(4, decimals=1)
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in ALL:
        assert metric(labels[order], probabilities[order]) == pytest.approx(metric(labels, probabilities), rel=1e-9)


def test_the_calibration_error_of_a_constant_is_its_distance_from_the_rate():
    """Also when the rate moves along the rows, as it does in time."""
    labels = np.concatenate([np.zeros(500), np.ones(500)])
    assert calibration_error(labels, np.full(1000, 0.5)) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(labels, np.full(1000, 0.3)) == pytest.approx(0.2)


def test_fewer_rows_than_bins_are_scored():
    assert calibration_error(np.array([1.0]), np.array([0.75])) == 0.25


def test_metrics_are_found_by_name_and_know_which_way_is_better():
    assert {name: metric.higher_is_better for name, metric in METRIC_BY_NAME.items()} == {
        "log_loss": False,
        "auc": True,
        "brier": False,
        "calibration_error": False,
        "accuracy": True,
        "macro_f1": True,
        "mse": False,
        "rmse": False,
        "mae": False,
        "r2": True,
    }


def test_a_score_that_is_no_number_is_stored_as_none():
    assert stored({"auc": float("nan"), "brier": 0.25}) == {"auc": None, "brier": 0.25}
