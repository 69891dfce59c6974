"""Decay of answers that are nearly certain: what they expect of themselves says next to nothing of their scatter."""

import numpy as np
import pytest

from heliostat.metrics import log_loss
from heliostat.tasks import BINARY
from heliostat.triggers import Decay
from heliostat.watch.decay import watched, wealth_limit
from heliostat.watch.events import CohortScore
from heliostat.watch.reference import loss_reference

NUM_ROWS, NUM_CALM, NUM_CHANGED = 50, 20, 8
TRIGGER = Decay(log_loss, margin=0.02, min_rows=200)


def answered(generator, num_rows, *, share_wrong):
    """Labels, and answers that are certain to 1 in 10,000, of which a share is wrong all the same."""
    labels = generator.integers(0, 2, num_rows).astype(float)
    is_wrong = generator.random(num_rows) < share_wrong
    return labels, np.where((labels > 0.5) ^ is_wrong, 1 - 1e-4, 1e-4)


def cohort(labels, answers):
    loss = float(BINARY.losses(labels, answers).mean())
    return CohortScore(
        num_predictions=len(labels),
        num_labelled=len(labels),
        score_by_metric={"log_loss": loss},
        expected=BINARY.expected(answers),
    )


@pytest.mark.parametrize("seed", range(5))
def test_certain_answers_that_become_wrong_are_seen_and_not_before(seed):
    generator = np.random.default_rng(seed)
    labels, answers = answered(generator, 400, share_wrong=0.02)
    reference = loss_reference(labels, answers, blocks=np.arange(400) // 20, task=BINARY)
    calm = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.02)) for _ in range(NUM_CALM)]
    changed = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.4)) for _ in range(NUM_CHANGED)]
    found = [watched(TRIGGER, scores, reference=reference).detected.log_value for scores in (calm, calm + changed)]
    assert found[0] < wealth_limit(TRIGGER) <= found[1]
