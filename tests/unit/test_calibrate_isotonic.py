"""Isotonic calibration: any rising curve, drawn towards the line; the same served as fitted."""

from dataclasses import replace

import numpy as np
import pytest

from heliostat import Quantity, Trees
from heliostat.errors import WorkloadError
from heliostat.learn import bundle
from heliostat.learn.calibrate import Calibration
from heliostat.learn.calibrate_isotonic import IsotonicCalibration
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.metrics import log_loss
from tests import toy, toy_kinds
from tests.toy_rows import labelled_rows


def bent(num_rows, *, seed=0):
    """Logits, and labels whose probability is a step, which no line through the logits says."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, num_rows)
    return logits, (random.random(num_rows) < np.where(logits < 1, 0.1, 0.6)).astype(float)


def test_what_no_line_says_is_learned():
    found = IsotonicCalibration.fit(*bent(20_000))
    line = Calibration.fit(*bent(20_000))
    logits, labels = bent(20_000, seed=1)
    assert log_loss(labels, found.answers(logits)) < log_loss(labels, line.answers(logits)) - 0.01
    assert found.answers(np.array([-1.0, 3.0])) == pytest.approx([0.1, 0.6], abs=0.04)


def test_few_rows_hardly_bend_the_line():
    logits, labels = bent(20)
    found, line = IsotonicCalibration.fit(logits, labels), Calibration.fit(logits, labels)
    assert np.abs(found.answers(logits) - line.answers(logits)).max() < 0.1


def test_rows_that_err_together_bend_it_less():
    logits, labels = bent(3000)
    days = (logits > 1).astype(np.int64) * 3 + (labels > 0)
    asked = np.array([-1.0, 3.0])
    line = Calibration.fit(logits, labels, blocks=days).answers(asked)
    together = IsotonicCalibration.fit(logits, labels, blocks=days).answers(asked)
    apart = IsotonicCalibration.fit(logits, labels).answers(asked)
    assert np.abs(together - line).max() < 0.1 < np.abs(apart - line).max()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_no_answer_is_quite_certain_even_where_all_labels_are_alike(label):
    found = IsotonicCalibration.fit(np.linspace(-3, 3, 5000), np.full(5000, label))
    answers = found.answers(np.array([-1e9, -3, 0, 3, 1e9]))
    assert ((answers > 0) & (answers < 1)).all()
    assert abs(answers[2] - label) < 0.05


def test_the_order_of_rows_is_never_turned_and_beyond_the_knots_it_is_kept():
    random = np.random.default_rng(2)
    found = IsotonicCalibration.fit(random.normal(size=2000), random.integers(0, 2, 2000).astype(float))
    answers = found.answers(np.linspace(-9, 9, 400))
    assert (np.diff(answers) >= 0).all()
    assert answers[0] < answers[50]
    assert answers[-1] > answers[-50]


def test_no_rows_leave_the_logits_alone():
    logits = np.linspace(-5, 5, 11)
    assert IsotonicCalibration.fit(np.zeros(0), np.zeros(0)).answers(logits) == pytest.approx(
        Calibration().answers(logits), abs=1e-12
    )


def test_json_gives_an_equal_calibration_back_and_answers_the_same_to_the_last_bit():
    found = IsotonicCalibration.fit(*bent(2000))
    again = IsotonicCalibration.from_json(found.to_json())
    assert again == found
    logits, _ = bent(500, seed=3)
    whole = found.answers(logits)
    assert np.array_equal(again.answers(logits), whole)
    assert np.array_equal(np.concatenate([again.answers(logits[row : row + 1]) for row in range(500)]), whole)


@pytest.mark.parametrize("kind", ["network", "trees"])
def test_a_bundle_answers_as_its_fit_did_to_the_last_bit_and_the_refit_keeps_the_curve(kind):
    training = replace(toy.workload.training, isotonic=True)
    workload = replace(toy.workload, training=training, trees=Trees(rounds=30, patience=10))
    rows = labelled_rows("2024-01", "2024-02", rows_per_part=800)
    first = (fit_trees if kind == "trees" else fit)(workload, *split_by_time(rows, share=0.2), seed=1)
    assert isinstance(first.calibration, IsotonicCalibration)
    again = bundle.ServedModel.load(bundle.to_files("tests.toy", first, profile={}, lineage={}))
    later = labelled_rows("2024-03")
    assert np.array_equal(again.answers(later), bundle.served(workload, first).answers(later))
    assert again.calibration == first.calibration
    if kind == "network":
        assert (
            refit(workload, rows, num_epochs=1, calibration=first.calibration, seed=1).calibration is first.calibration
        )


def test_quantities_are_refused_where_they_are_declared():
    wear = toy_kinds.wear
    assert isinstance(wear.label, Quantity)
    with pytest.raises(WorkloadError, match="isotonic=True"):
        replace(wear, training=replace(wear.training, isotonic=True))


def test_a_large_hold_out_that_is_told_apart_without_fault_leaves_the_middle_open():
    labels = np.repeat([0.0, 1.0], 30_000)
    found = IsotonicCalibration.fit(np.where(labels > 0, 60.0, -60.0), labels)
    answers = found.answers(np.array([-60.0, 0.0, 60.0]))
    assert np.isfinite(found.margins).all()
    assert answers[0] < 1e-9
    assert 0.3 < answers[1] < 0.7
    assert 1 - 1e-9 < answers[2] < 1
