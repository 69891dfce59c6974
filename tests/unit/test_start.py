"""A fit that goes on from a version: its preparation, its weights or trees, and no other version's checkpoint."""

import json
from dataclasses import replace

import pytest
import torch

from heliostat.errors import TrainingError, WorkloadError
from heliostat.learn.bundle import to_files
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.start import Start
from heliostat.learn.trees import xgboost
from tests import toy_kinds, toy_trees
from tests.toy import workload
from tests.toy_rows import labelled_rows

QUICK = replace(workload, training=replace(workload.training, epochs=2))


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)


@pytest.fixture(scope="module")
def later():
    return split_by_time(labelled_rows("2024-03", rows_per_part=400), share=0.3)


@pytest.fixture(scope="module")
def fitted(parts):
    return fit(QUICK, *parts, seed=1)


@pytest.fixture(scope="module")
def files(fitted):
    return to_files("tests.toy", fitted, profile={}, lineage={})


@pytest.fixture(scope="module")
def start(files):
    found = Start.of(files, source_digest=json.loads(files["model.json"])["source_digest"])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def boosted(parts):
    return fit_trees(toy_trees.workload, *parts, seed=1)


def test_a_bundle_gives_what_was_learned(start, fitted):
    assert start.kind == "network"
    assert start.preparation == fitted.preparation
    assert all(torch.equal(start.weights[name], fitted.weights[name]) for name in fitted.weights)


def test_nothing_goes_on_from_a_bundle_of_another_source(files):
    assert Start.of(files, source_digest="0" * 64) is None


def test_a_network_goes_on_from_the_weights_and_the_preparation(start, later):
    slow = replace(QUICK, training=replace(QUICK.training, epochs=1, learning_rate=1e-9, weight_decay=0.0))
    still = fit(slow, *later, seed=3, start=start)
    assert still.preparation == start.preparation
    assert all(torch.allclose(still.weights[name], start.weights[name], atol=1e-6) for name in start.weights)
    cold = fit(slow, *later, seed=3)
    assert still.history[0].validation_loss < cold.history[0].validation_loss


def test_a_network_that_is_fitted_again_goes_on_from_the_same_start(start, later, fitted):
    slow = replace(QUICK, training=replace(QUICK.training, learning_rate=1e-9, weight_decay=0.0))
    again = refit(slow, later[0], num_epochs=1, calibration=fitted.calibration, seed=3, start=start)
    assert all(torch.allclose(again.weights[name], start.weights[name], atol=1e-6) for name in start.weights)


def test_a_checkpoint_of_another_start_is_refused(start, later):
    states = []
    fit(QUICK, *later, seed=1, start=start, on_epoch=states.append)
    resumed = fit(QUICK, *later, seed=1, start=start, resume=states[0])
    assert len(resumed.history) == QUICK.training.epochs
    with pytest.raises(TrainingError, match="other rows, settings or another seed"):
        fit(QUICK, *later, seed=1, resume=states[0])


def test_trees_are_added_to_those_that_are_there(boosted, later):
    start = Start(preparation=boosted.preparation, trees=boosted.trees)
    assert start.kind == "trees"
    more = fit_trees(toy_trees.workload, *later, seed=1, start=start)
    before, after = _rounds(boosted.trees), _rounds(more.trees)
    assert after[: len(before)] == before
    assert len(after) == len(before) + more.best_epoch + 1
    again = refit_trees(
        toy_trees.workload, later[0], num_rounds=3, calibration=boosted.calibration, seed=1, start=start
    )
    assert len(_rounds(again.trees)) == len(before) + 3
    assert _rounds(again.trees)[: len(before)] == before


def _rounds(stored):
    booster = xgboost().Booster()
    booster.load_model(bytearray(stored))
    return booster.get_dump()


def test_a_quantity_does_not_start_warm():
    with pytest.raises(WorkloadError, match="leave warm_start out"):
        replace(toy_kinds.wear, training=replace(QUICK.training, warm_start=True))
