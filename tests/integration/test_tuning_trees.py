"""One trial of a search for trees, without Ray: what it tells, and that its configuration counts."""

import math
import os

import pytest
from ray import tune

from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.tuned import configured, declared_point
from jobs import _tuning
from tests.toy_rows import labelled_rows
from tests.toy_tuned_trees import workload

MODULE = "tests.toy_tuned_trees"


@pytest.fixture
def told(monkeypatch):
    """What a trial on the toy's rows reports for a configuration."""
    reports = []
    monkeypatch.setattr(tune, "report", reports.append)
    monkeypatch.setattr(os, "nice", lambda _: None)  # the other tests go on at full priority
    train, validation = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)

    def run(configuration):
        _tuning.trial(configuration, module=MODULE, device="cpu", train=train, validation=validation)
        return reports.pop()

    run.parts = train, validation
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


def test_a_fit_of_trees_tells_each_round_as_it_is_done(told):
    rounds = []
    fitted = fit_trees(workload, *told.parts, seed=workload.training.seed, on_round=rounds.append)
    assert rounds == list(range(1, len(fitted.history) + 1))
