"""A fit on all rows, nothing held back: as many epochs as did best, and the calibration found before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from heliostat import Trees
from heliostat.errors import TrainingError
from heliostat.learn.bundle import served
from heliostat.learn.calibrate import Calibration
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from tests.toy import workload
from tests.toy_rows import labelled_rows, lake_rows

QUICK = replace(workload, training=replace(workload.training, epochs=3))
ROWS = labelled_rows("2024-01", rows_per_part=400)


@pytest.fixture(scope="module")
def judged():
    return fit(QUICK, *split_by_time(ROWS, share=0.2), seed=1)


def again(rows=ROWS, *, num_epochs=2, seed=1, calibration=None, **options):
    calibration = calibration or Calibration()
    return refit(QUICK, rows, num_epochs=num_epochs, calibration=calibration, seed=seed, **options)


def same_weights(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_every_row_is_used_and_none_held_back(judged):
    fitted = again(calibration=judged.calibration)
    assert (fitted.num_rows, fitted.num_validation_rows) == (ROWS.num_rows, 0)
    assert fitted.last_event_at == fitted.validated_until == max(ROWS["event_at"].to_pylist())
    assert fitted.first_event_at == min(ROWS["event_at"].to_pylist())
    assert fitted.last_event_at > judged.last_event_at
    assert fitted.constant == pytest.approx(np.mean(ROWS["label"].to_numpy()))


def test_the_calibration_is_the_one_that_was_found_before(judged):
    assert again(calibration=judged.calibration).calibration == judged.calibration


@pytest.mark.parametrize(
    ("found", "kept"), [(Calibration(scale=1.3, bias=0.4), 1.0), (Calibration(scale=0.7, bias=0.4), 0.7)]
)
def test_without_carrying_its_shift_only_what_makes_it_less_sure_is_kept(found, kept):
    newest = replace(QUICK, trees=Trees(rounds=5), training=replace(QUICK.training, carry_shift=False))
    for fitted in (
        refit(newest, ROWS, num_epochs=1, calibration=found, seed=1),
        refit_trees(newest, ROWS, num_rounds=5, calibration=found, seed=1),
    ):
        assert (fitted.calibration.scale, fitted.calibration.bias) == (kept, 0.0)


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_it_runs_the_epochs_that_were_asked_for_and_the_last_one_counts(num_epochs):
    states = []
    fitted = again(num_epochs=num_epochs, on_epoch=states.append)
    assert [state.num_epochs for state in states] == list(range(1, num_epochs + 1))
    assert fitted.best_epoch == num_epochs - 1
    assert same_weights(fitted.weights, states[-1].weights)


def test_the_order_of_the_rows_changes_nothing():
    shuffled = ROWS.take(np.random.default_rng(3).permutation(ROWS.num_rows))
    first, second = again(), again(shuffled)
    assert same_weights(first.weights, second.weights)
    assert first.history == second.history


def test_a_resumed_refit_ends_with_the_same_bits():
    states = []
    whole = again(num_epochs=3, on_epoch=lambda state: states.append(state.to_bytes()))
    for state in states:
        resumed = again(num_epochs=3, resume=FitState.from_bytes(state))
        assert same_weights(whole.weights, resumed.weights)
        assert whole.history == resumed.history


def test_the_checkpoint_of_the_judged_fit_or_of_other_rows_or_epochs_is_refused():
    states = []
    train, validation = split_by_time(ROWS, share=0.2)
    fit(QUICK, train, validation, seed=1, on_epoch=states.append)
    again(num_epochs=3, on_epoch=states.append)
    for state, options in ((states[0], {}), (states[-1], {"num_epochs": 2}), (states[-1], {"rows": train})):
        with pytest.raises(TrainingError, match="other rows, settings or another seed"):
            again(**{"num_epochs": 3, "resume": state} | options)


def test_what_was_fitted_again_answers(judged):
    answers = served(QUICK, again(calibration=judged.calibration)).answers(ROWS)
    assert ((answers > 0) & (answers < 1)).all()


def test_rows_without_a_label_are_refused():
    with pytest.raises(TrainingError, match="have no label"):
        again(lake_rows("2024-01", rows_per_part=100))
