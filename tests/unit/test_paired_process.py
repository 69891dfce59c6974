"""A test of paired differences that may be looked at after every block."""

import numpy as np
import pytest

from heliostat.gates import Evidence, NoWorseThanChampion, Paired
from heliostat.metrics import log_loss
from heliostat.paired_process import SURE, log_evidence


def share_of_alarms(draw, *, num_runs=400, num_blocks=150):
    return np.mean([log_evidence(draw(num_blocks)) >= SURE for _ in range(num_runs)])


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_looked_at_after_every_block_it_errs_at_most_as_often_as_promised(kind):
    random = np.random.default_rng(3)
    draw = {"normal": lambda n: random.normal(0, 1, n), "heavy": lambda n: random.standard_t(3, n)}[kind]
    assert share_of_alarms(draw) <= 0.05


def test_a_difference_as_large_as_the_scatter_is_found_within_weeks_of_days():
    random = np.random.default_rng(4)
    found = [log_evidence(random.normal(1, 1, 40)) >= SURE for _ in range(100)]
    assert np.mean(found) > 0.9


def test_the_unit_of_the_loss_does_not_matter():
    differences = np.random.default_rng(5).normal(0.5, 1, 60)
    assert log_evidence(differences * 1e-6) == pytest.approx(log_evidence(differences))


def test_one_wild_block_decides_nothing():
    calm = np.random.default_rng(6).normal(0, 0.01, 20)
    assert log_evidence([*calm, 50.0]) < SURE


def test_a_margin_is_tolerated():
    differences = np.random.default_rng(7).normal(1, 0.2, 40)
    assert log_evidence(differences) > SURE > log_evidence(differences, margin=1.0)


@pytest.mark.parametrize("differences", [[], [0.3], [0.0, 0.0, 0.0], [0.0, 0.4]])
def test_too_little_says_nothing(differences):
    assert log_evidence(differences) == 0.0


def test_the_gate_holds_a_candidate_that_was_surely_worse_for_weeks_and_only_at_last_better():
    worse = np.random.default_rng(8).normal(0.05, 0.01, 40)
    blocks = (*worse.tolist(), *[-0.1] * 20)
    paired = Paired(
        champion=1,
        num_rows=6000,
        mean_difference=float(np.mean(blocks)),
        standard_error=0.02,
        score_by_metric={},
        blocks=blocks,
    )
    found = NoWorseThanChampion(log_loss).check(Evidence(num_rows=6000, candidate={}, constant={}, paired=paired))
    assert not found.passed
