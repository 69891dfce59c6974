"""Decay of answers that are nearly certain: what they expect of themselves says next to nothing of their scatter."""

import numpy as np
import pytest

from heliostat.metrics import log_loss
from heliostat.tasks import BINARY
from heliostat.triggers import Decay
from heliostat.watch.decay import staked_log_values, watched, wealth_limit
from heliostat.watch.events import CohortScore
from heliostat.watch.reference import loss_reference

NUM_ROWS, NUM_CALM, NUM_CHANGED = 50, 20, 8
TRIGGER = Decay(log_loss, margin=0.02, min_rows=200)


def answered(generator, num_rows, *, share_wrong, doubt=1e-4):
    """Labels, and answers that are certain but for a doubt, of which a share is wrong all the same."""
    labels = generator.integers(0, 2, num_rows).astype(float)
    is_wrong = generator.random(num_rows) < share_wrong
    return labels, np.where((labels > 0.5) ^ is_wrong, 1 - doubt, doubt)


def cohort(labels, answers):
    loss = float(BINARY.losses(labels, answers).mean())
    return CohortScore(
        num_predictions=len(labels),
        num_labelled=len(labels),
        score_by_metric={"log_loss": loss},
        expected=BINARY.expected(answers),
    )


@pytest.mark.parametrize("doubt", [1e-3, 1e-4, 1e-6])
@pytest.mark.parametrize("seed", range(5))
def test_certain_answers_that_become_wrong_are_seen_and_not_before(seed, doubt):
    generator = np.random.default_rng(seed)
    labels, answers = answered(generator, 400, share_wrong=0.02, doubt=doubt)
    reference = loss_reference(labels, answers, blocks=np.arange(400) // 20, task=BINARY)
    calm = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.02, doubt=doubt)) for _ in range(NUM_CALM)]
    changed = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.4, doubt=doubt)) for _ in range(NUM_CHANGED)]
    found = [watched(TRIGGER, scores, reference=reference).detected.log_value for scores in (calm, calm + changed)]
    assert found[0] < wealth_limit(TRIGGER) <= found[1]


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
def test_stakes_gain_nothing_on_average_while_the_mean_loss_is_what_is_tolerated(rate):
    errors = np.random.default_rng(1).poisson(rate, 200_000)  # a block holds few errors, and each is a great loss
    values = np.exp(staked_log_values(errors / rate))
    standard_error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - 1) < 4 * standard_error).all()


def test_stakes_lose_where_the_loss_is_below_what_is_tolerated_and_win_above():
    below, above = staked_log_values(np.array([0.5, 2.0]))
    assert (below < 0).all()
    assert (above > 0).all()
