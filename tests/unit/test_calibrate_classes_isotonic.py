"""Isotonic calibration of several classes: a rising curve for each, and answers that add up to one."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pytest

from heliostat.intake import take
from heliostat.learn import bundle
from heliostat.learn.calibrate_classes import ClassesCalibration, softmax
from heliostat.learn.calibrate_classes_isotonic import IsotonicClassesCalibration
from heliostat.learn.fit import fit
from heliostat.learn.objective import calibration_from_json
from heliostat.learn.rows import split_by_time
from tests.toy_kinds import cause


def bent(num_rows, *, seed=0):
    """Logits of three classes, the first of which says much too little where it is high: no temperature mends that."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (num_rows, 3))
    true = logits.copy()
    true[:, 0] = np.where(logits[:, 0] > 0.5, 3.0, -1.0)
    chances = softmax(true).cumsum(axis=1)
    return logits, (random.random((num_rows, 1)) > chances).sum(axis=1).astype(np.float64)


def loss(labels, answers):
    return -np.log(answers[np.arange(len(labels)), labels.astype(int)]).mean()


def test_what_no_temperature_says_is_learned():
    found, temperature = (each.fit(*bent(20_000)) for each in (IsotonicClassesCalibration, ClassesCalibration))
    logits, labels = bent(20_000, seed=1)
    assert loss(labels, found.answers(logits)) < loss(labels, temperature.answers(logits)) - 0.01


def test_answers_add_up_to_one_and_none_is_quite_certain():
    found = IsotonicClassesCalibration.fit(*bent(2000))
    logits = np.concatenate([bent(100, seed=2)[0], [[500.0, 0.0, -500.0], [0.0, 0.0, 0.0]]])
    answers = found.answers(logits)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-12)
    assert ((answers[:-2] > 0) & (answers[:-2] < 1)).all()
    assert np.isfinite(answers).all()


def test_few_rows_hardly_bend_it_and_none_leave_the_logits_alone():
    logits, labels = bent(15)
    few = IsotonicClassesCalibration.fit(logits, labels)
    assert np.abs(few.answers(logits) - ClassesCalibration.fit(logits, labels).answers(logits)).max() < 0.15
    none = IsotonicClassesCalibration.fit(np.zeros((0, 3)), np.zeros(0))
    np.testing.assert_allclose(none.answers(logits), softmax(logits), atol=1e-9)


@pytest.mark.parametrize("num_classes", [3, 10, 50])
def test_where_logits_are_right_already_curves_cost_little_however_many_classes_there_are(num_classes):
    random = np.random.default_rng(5)
    logits = random.normal(0, 1.5, (6000, num_classes))
    labels = (random.random((6000, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(0, num_classes - 1)
    found = IsotonicClassesCalibration.fit(logits[:1000], labels[:1000].astype(np.float64))
    later, outcomes = logits[1000:], labels[1000:]
    assert loss(outcomes, found.answers(later)) < loss(outcomes, softmax(later)) + 0.03


def test_json_gives_an_equal_calibration_back_that_answers_the_same_in_any_batch():
    found = IsotonicClassesCalibration.fit(*bent(2000))
    again = calibration_from_json(cause.task, found.to_json())
    assert again == found
    logits, _ = bent(50, seed=3)
    whole = found.answers(logits)
    assert np.array_equal(np.concatenate([again.answers(logits[row : row + 1]) for row in range(50)]), whole)


def test_a_bundle_of_classes_answers_by_the_curves_that_its_fit_drew():
    workload = replace(cause, training=replace(cause.training, isotonic=True, epochs=1))
    table = take(cause, cause.source.read("2024-01"), since=None, until=datetime(2200, 1, 1, tzinfo=UTC)).good
    rows = table.filter(pc.is_valid(table["label"]))
    fitted = fit(workload, *split_by_time(rows, share=0.2), seed=1)
    assert isinstance(fitted.calibration, IsotonicClassesCalibration)
    again = bundle.ServedModel.load(bundle.to_files("tests.toy_cause", fitted, profile={}, lineage={}))
    assert np.array_equal(again.answers(rows), bundle.served(workload, fitted).answers(rows))
