"""Triggers refuse values that could never fire, or always would."""

from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat import Age, AllOf, Decay, Drift, JointDrift
from heliostat.errors import WorkloadError
from heliostat.metrics import auc, log_loss
from tests import toy


@pytest.mark.parametrize("wrong", [{"psi": 0}, {"psi": -0.1}, {"windows": 0}])
def test_drift_needs_a_limit_and_a_window(wrong):
    with pytest.raises(WorkloadError, match="psi must be above 0, windows at least 1"):
        Drift(**wrong)


@pytest.mark.parametrize("wrong", [{"margin": 0}, {"margin": -1}, {"margin": 0.1, "min_rows": 0}])
def test_decay_needs_a_margin_and_rows(wrong):
    with pytest.raises(WorkloadError, match="log_loss"):
        Decay(log_loss, **wrong)


@pytest.mark.parametrize("limit", [timedelta(0), timedelta(days=-1)])
def test_age_needs_a_limit(limit):
    with pytest.raises(WorkloadError, match="above zero"):
        Age(limit)


def test_triggers_with_usable_values_are_equal_when_their_values_are():
    assert Drift() == Drift(psi=0.25, windows=3)
    assert Decay(log_loss, margin=0.02) == Decay(log_loss, 0.02, 1000)
    assert Age(timedelta(days=3)) != Age(timedelta(days=4))


@pytest.mark.parametrize(
    "wrong", [(), (Drift(),), (Drift(), "decay"), (Drift(), AllOf(Drift(), Age(timedelta(days=3))))]
)
def test_a_combination_needs_two_triggers(wrong):
    with pytest.raises(WorkloadError, match="needs two triggers or more"):
        AllOf(*wrong)


def test_what_a_combination_waits_for_is_looked_at_as_if_it_stood_alone():
    with pytest.raises(WorkloadError, match="watches no columns together"):
        replace(toy.workload, retrain_on=(AllOf(JointDrift(), Age(timedelta(days=3))),))
    declared = replace(toy.workload, retrain_on=(AllOf(Drift(), Decay(auc, margin=0.02)),), gates=(), metrics=())
    assert auc in declared.scored_by
