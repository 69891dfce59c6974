import numpy as np
import pytest

from heliostat.learn.calibrate import LOWEST_SCALE, Calibration
from heliostat.metrics import log_loss


def drawn(num_rows, *, scale=1.0, bias=0.0, seed=0):
    """Logits, and labels drawn with probability sigmoid(scale * logit + bias)."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, num_rows)
    labels = (random.random(num_rows) < 1 / (1 + np.exp(-scale * logits - bias))).astype(float)
    return logits, labels


def test_an_overconfident_network_is_brought_back():
    calibration = Calibration.fit(*drawn(50_000, scale=0.5, bias=-0.4))
    assert calibration.scale == pytest.approx(0.5, abs=0.02)
    assert calibration.bias == pytest.approx(-0.4, abs=0.03)


def test_calibration_lowers_the_loss_on_other_rows():
    calibration = Calibration.fit(*drawn(5000, scale=0.4, bias=1.0))
    logits, labels = drawn(5000, scale=0.4, bias=1.0, seed=1)
    assert log_loss(labels, calibration.answers(logits)) < log_loss(labels, Calibration().answers(logits))


def test_no_rows_leave_the_logits_alone():
    assert Calibration.fit(np.zeros(0), np.zeros(0)) == Calibration()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rows_of_one_class_give_finite_numbers(label):
    calibration = Calibration.fit(np.linspace(-3, 3, 200), np.full(200, label))
    assert np.isfinite([calibration.scale, calibration.bias]).all()
    assert (calibration.bias > 0) == (label == 1)


def test_rows_told_apart_perfectly_give_finite_numbers():
    logits = np.array([-50.0] * 100 + [50.0] * 100)
    calibration = Calibration.fit(logits, (logits > 0).astype(float))
    assert 0 < calibration.scale < 10


def test_equal_logits_move_only_the_rate():
    labels = np.array([1.0] * 2000 + [0.0] * 8000)
    probabilities = Calibration.fit(np.zeros(10_000), labels).answers(np.zeros(1))
    assert probabilities[0] == pytest.approx(0.2, abs=0.02)


def test_the_order_of_the_rows_is_never_turned():
    calibration = Calibration.fit(*drawn(5000, scale=-2.0, bias=-1.5))
    assert calibration.scale == LOWEST_SCALE
    probabilities = calibration.answers(np.array([-1.0, 0.0, 1.0]))
    assert (np.diff(probabilities) > 0).all()


def test_the_rate_is_right_even_when_the_order_is_of_no_use():
    logits, labels = drawn(5000, scale=-2.0, bias=-1.5)
    calibration = Calibration.fit(logits, labels)
    assert calibration.answers(logits).mean() == pytest.approx(labels.mean(), abs=0.02)


def test_probabilities_are_never_quite_certain():
    probabilities = Calibration().answers(np.array([-1e9, 1e9]))
    assert 0 < probabilities[0] < probabilities[1] < 1


def test_rows_that_err_together_count_for_less():
    random = np.random.default_rng(4)
    days = np.repeat(np.arange(6), 500)
    labels = (random.random(3000) < 1 / (1 + np.exp(-random.normal(0.3, 0.8, 6)[days]))).astype(float)
    together, apart = Calibration.fit(np.zeros(3000), labels, blocks=days), Calibration.fit(np.zeros(3000), labels)
    assert 0 < together.bias / apart.bias < 0.2


def test_json_gives_an_equal_calibration_back():
    calibration = Calibration.fit(*drawn(100))
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_doubt_keeps_what_makes_answers_less_sure_and_leaves_the_mean_where_it_was():
    logits, labels = drawn(50_000, scale=0.5, bias=-0.4)
    found = Calibration.fit(logits + 1, labels)
    doubt = found.doubt()
    assert doubt.scale == found.scale < 0.6
    margins = doubt.scale * (logits + 1) + doubt.bias
    assert margins.mean() == pytest.approx((logits + 1).mean(), abs=1e-9)


def test_there_is_no_doubt_in_what_sharpens_or_shifts():
    doubt = Calibration.fit(*drawn(50_000, scale=2.0, bias=0.7)).doubt()
    assert (doubt.scale, doubt.bias) == (1.0, 0.0)
