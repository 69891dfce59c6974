"""Decay of answers that are nearly certain: what they expect of themselves says next to nothing of their scatter."""

from dataclasses import replace

import numpy as np
import pytest

from heliostat.metrics import log_loss
from heliostat.tasks import BINARY
from heliostat.triggers import Decay, Slack
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


def holdout(generator, num_blocks, *, bad=()):
    """What a hold-out of calm blocks shows, of which these had a burst of errors."""
    parts = [answered(generator, NUM_ROWS, share_wrong=0.4 if block in bad else 0.0) for block in range(num_blocks)]
    labels, answers = (np.concatenate(one) for one in zip(*parts, strict=True))
    return loss_reference(labels, answers, blocks=np.arange(len(labels)) // NUM_ROWS, task=BINARY)


def alarms(scores, reference, trigger):
    """After which block decay is said first; None for never."""
    for number in range(1, len(scores) + 1):
        if watched(trigger, scores[:number], reference=reference).detected.log_value >= wealth_limit(trigger):
            return number
    return None


@pytest.mark.parametrize("seed", range(5))
def test_where_errors_come_in_bursts_the_first_after_a_spotless_hold_out_is_no_decay_and_a_change_is(seed):
    generator = np.random.default_rng(seed)
    in_bursts, spotless = replace(TRIGGER, in_bursts=True), holdout(generator, 20)
    bursts = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.4 * (block % 15 == 7))) for block in range(60)]
    assert alarms(bursts, spotless, TRIGGER) == 8
    assert alarms(bursts, spotless, in_bursts) is None
    changed = bursts[:30] + [cohort(*answered(generator, NUM_ROWS, share_wrong=0.3)) for _ in range(8)]
    assert alarms(changed, spotless, in_bursts) in range(33, 38)


def test_a_hold_out_that_held_a_burst_knows_how_large_one_is_and_the_option_changes_nothing():
    generator = np.random.default_rng(1)
    reference = holdout(generator, 20, bad=(4,))
    scores = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.4 * (block % 15 == 7))) for block in range(30)]
    told = [watched(trigger, scores, reference=reference) for trigger in (TRIGGER, replace(TRIGGER, in_bursts=True))]
    assert told[0] == told[1]


def test_the_longer_a_spotless_hold_out_the_fewer_bad_blocks_are_tolerated():
    generator = np.random.default_rng(2)
    in_bursts = replace(TRIGGER, in_bursts=True)
    often_bad = [cohort(*answered(generator, NUM_ROWS, share_wrong=0.4 * (block % 6 == 1))) for block in range(60)]
    assert alarms(often_bad, holdout(generator, 20), in_bursts) is None  # three in twenty are left open
    assert alarms(often_bad, holdout(generator, 300), in_bursts) is not None


def _hesitant(generator, num_rows, *, share):
    """Labels of one kind in `share` of the rows, and answers that always say 0.7 of them."""
    return (generator.random(num_rows) < share).astype(float), np.full(num_rows, 0.7)


@pytest.mark.parametrize(("share", "is_slack"), [(0.7, {False: True, True: False}), (0.9, {False: True, True: True})])
def test_usual_times_after_a_hold_out_of_hard_ones_are_slack_unless_beyond_expectation(share, is_slack):
    generator = np.random.default_rng(0)
    labels, answers = _hesitant(generator, 1000, share=0.4)  # too sure, by far
    reference = loss_reference(labels, answers, blocks=np.arange(1000) // 50, task=BINARY)
    scores = [cohort(*_hesitant(generator, 100, share=share)) for _ in range(30)]
    for beyond, expected in is_slack.items():
        trigger = Slack(margin=0.02, min_rows=200, beyond_expectation=beyond)
        found = watched(trigger, scores, reference=reference)
        assert (found.detected.log_value >= wealth_limit(trigger)) == expected
