"""One trial of a search for trees, without Ray: what it tells, and that its configuration counts."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ray import tune

from heliostat.learn.bundle import served
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import ordered, split_by_time
from heliostat.learn.tuned import configured, declared_point
from heliostat.metrics import log_loss
from jobs import _tuning
from tests.toy_rows import labelled_rows
from tests.toy_tuned_trees import workload

MODULE = "tests.toy_tuned_trees"


@pytest.fixture
def told(monkeypatch):
    """What a trial on the toy's rows reports for a configuration."""
    reports, states = [], []

    def report(values, checkpoint=None):
        if checkpoint is not None:
            states.append((Path(checkpoint.path) / _tuning.STATE_FILE).read_bytes())
        reports.append(values)

    monkeypatch.setattr(tune, "report", report)
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    monkeypatch.setattr(os, "nice", lambda _: None)  # the other tests go on at full priority
    train, validation = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)

    def run(configuration):
        _tuning.trial(configuration, module=MODULE, device="cpu", train=train, validation=validation)
        return reports[-1]

    run.parts, run.reports, run.states = (train, validation), reports, states
    return run


def test_the_declared_trees_are_a_trial_that_scores_what_a_training_would(told):
    declared = declared_point(workload, workload.tuning)
    assert declared == {"trees.depth": 3, "trees.learning_rate": 0.1, "trees.row_share": 0.8}
    fitted = fit_trees(workload, *told.parts, seed=workload.training.seed)
    assert told(declared)["score"] == min(each.validation_loss for each in fitted.history)


def test_another_configuration_boosts_other_trees(told):
    deep = {"trees.depth": 6, "trees.learning_rate": 0.5, "trees.row_share": 0.4}
    assert told(deep)["score"] != told(declared_point(workload, workload.tuning))["score"]
    assert configured(workload, deep).trees.depth == 6


def test_a_configuration_that_cannot_be_fitted_is_the_worst_result_with_its_reason(told):
    report = told({"trees.depth": 0})
    assert math.isinf(report["score"])
    assert "must be above 0" in report["error"]


def test_a_trial_tells_each_portion_of_rounds_and_goes_on_from_any_to_the_same_end(told, tmp_path, monkeypatch):
    declared = declared_point(workload, workload.tuning)
    end = told(declared)
    whole, states = list(told.reports), list(told.states)
    assert whole[0]["epochs"] == 50
    assert len(whole) == len(states) == 2
    for number, state in enumerate(states):
        (tmp_path / _tuning.STATE_FILE).write_bytes(state)
        monkeypatch.setattr(tune, "get_checkpoint", lambda: tune.Checkpoint.from_directory(tmp_path))
        told.reports.clear()
        if number == len(states) - 1:
            assert (
                _tuning.trial(declared, module=MODULE, device="cpu", train=told.parts[0], validation=told.parts[1])
                is None
            )
            assert told.reports == []
        else:
            assert told(declared) == end
            assert told.reports == whole[number + 1 :]


def test_a_trial_by_a_metric_scores_the_answers_that_a_training_would_keep(told, monkeypatch):
    monkeypatch.setattr(_tuning, "load", lambda _: replace(workload, tuning=replace(workload.tuning, metric=log_loss)))
    configuration = {"trees.depth": 3, "trees.learning_rate": 0.5, "trees.row_share": 0.8}
    own = configured(workload, configuration)
    fitted = fit_trees(own, *told.parts, seed=own.training.seed)
    assert fitted.best_epoch < len(fitted.history) - 1
    rows = ordered(told.parts[1], own, purpose="validation")
    expected = log_loss(rows["label"].to_numpy(), served(own, fitted).answers(rows))
    assert told(configuration)["score"] == pytest.approx(expected, abs=1e-6)


def test_a_fit_of_trees_tells_each_round_as_it_is_done(told):
    rounds = []
    fitted = fit_trees(
        workload, *told.parts, seed=workload.training.seed, on_step=lambda step: rounds.append(step.number)
    )
    assert rounds == list(range(1, len(fitted.history) + 1))
