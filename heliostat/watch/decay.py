"""Whether the champion's matured quality fell: the e-detector on its losses, cohort by cohort."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.tasks.expected import BETS, Expected
from heliostat.triggers import Decay, Slack
from heliostat.watch.detector import Detected, detect, normal_log_values, row_variance
from heliostat.watch.events import CohortScore, ReferenceScore

Values = NDArray[np.float64]
MAX_INFLATION = 1000.0  # divided by more, what the answers expect of themselves proves nothing
# Answers as certain as 1 in 1,000 expect so little variance a row: one wrong answer in a hundred multiplies it already.
CERTAIN_VARIANCE = 0.05
MAX_CERTAIN_INFLATION = 10.0
STAKES = np.array([0.05, 0.1, 0.2, 0.4, 0.8])  # shares of the wealth on a higher loss; as many as there are BETS
MAX_SHARE_BAD = 0.5  # of blocks, however short a hold-out was: more is decay whatever comes in bursts
REFERENCE_ERRORS = 1.0  # a reference is itself an estimate: so many of its standard errors are tolerated


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What the detector saw: its verdict, what was tolerated, and the excess over the reference since the onset."""

    detected: Detected
    tolerated: float
    excess_since: float
    num_rows_since: int


def watched(trigger: Decay | Slack, scores: Sequence[CohortScore], *, reference: ReferenceScore) -> Watched:
    """The detector on the cohorts of one version, in time order.

    The loss is compared with what the answers expected of themselves, beyond what they missed that by on the hold-out;
    every other metric with its score on the hold-out. For `Slack` an excess is below the expectation.
    """
    num_rows = np.array([score.num_labelled for score in scores], np.float64)
    allowed = trigger.margin + REFERENCE_ERRORS * reference.standard_error
    own = [score.expected for score in scores if score.expected is not None]
    is_own = trigger.metric.losses is not None and len(own) == len(scores)
    side = -1.0 if isinstance(trigger, Slack) or trigger.metric.higher_is_better else 1.0
    is_floored = side > 0 or (isinstance(trigger, Slack) and trigger.beyond_expectation)
    missed = _missed(reference, side=side, is_floored=is_floored) if is_own else 0.0
    means, expected = _means(trigger, scores), np.array([one.loss for one in own]) if is_own else reference.score
    excess = side * (means - expected) - missed
    known = reference.standard_error**2 * reference.num_rows
    variance = row_variance(excess, num_rows, known=known, floor=trigger.margin)
    log_values = normal_log_values(excess - allowed, num_rows, variance=variance)
    if is_own and all(one.moments for one in own):
        inflation = _inflation(own, excess - allowed, num_rows, reference=reference)
        moments = np.array([one.moments if side > 0 else one.slack_moments for one in own])
        told = num_rows[:, None] * ((excess - allowed)[:, None] * BETS - moments) / inflation[:, None]
        log_values = np.where(inflation[:, None] > MAX_INFLATION, log_values[:, -len(BETS) :], told)
        if side > 0:
            is_certain, tolerated = _are_nearly_certain(own), expected + missed + allowed
            is_staked = is_certain & (inflation > MAX_CERTAIN_INFLATION)
            staked = staked_log_values(means / tolerated)
            log_values = np.where(is_staked[:, None], staked, log_values)
            share_bad = _share_bad(reference, tolerated=float(np.mean(tolerated)), usual_rows=float(num_rows.mean()))
            if isinstance(trigger, Decay) and trigger.in_bursts and share_bad is not None:
                counted = staked_log_values((means > tolerated) / share_bad)
                log_values = np.where(is_certain[:, None], counted, log_values)
    found = detect(log_values)
    rows_since = num_rows[found.onset :]
    return Watched(
        detected=found,
        tolerated=allowed,
        excess_since=float((excess[found.onset :] * rows_since).sum() / rows_since.sum()),
        num_rows_since=int(rows_since.sum()),
    )


def _means(trigger: Decay | Slack, scores: Sequence[CohortScore]) -> Values:
    return np.array([score.score_by_metric[trigger.metric.name] for score in scores])


def _missed(reference: ReferenceScore, *, side: float, is_floored: bool) -> float:
    """By how much the hold-out's loss missed its expectation on that side.

    A model that was overcautious on the hold-out gets no credit for it when decay is looked for (`is_floored`).
    """
    missed = 0.0 if reference.expected is None else side * (reference.score - reference.expected.loss)
    return max(0.0, missed) if is_floored else missed


def _inflation(own: Sequence[Expected], excess: Values, num_rows: Values, *, reference: ReferenceScore) -> Values:
    """How much more the blocks before each one scatter than their answers expect; what these say is divided by it.

    Dependence within a cohort (a storm delays every flight of its day) makes its rows worth fewer.
    """
    known = 1.0
    if reference.expected is not None and reference.expected.variance > 0:
        known = max(1.0, reference.standard_error**2 * reference.num_rows / reference.expected.variance)
    variance = np.array([one.variance for one in own])
    return row_variance(excess / np.sqrt(np.maximum(variance, 1e-12)), num_rows, known=known, floor=1.0)


def _are_nearly_certain(own: Sequence[Expected]) -> NDArray[np.bool_]:
    return np.array([one.variance < CERTAIN_VARIANCE for one in own])


def _share_bad(reference: ReferenceScore, *, tolerated: float, usual_rows: float) -> float | None:
    """The share of blocks above `tolerated` that a hold-out without any leaves open; None where it had one.

    None of n blocks bounds the share by 3 / n at 95% (the rule of three). A single bad block would have made the
    hold-out's mean at least an n-th of what is tolerated.
    """
    num_blocks = reference.num_rows / usual_rows
    return min(3 / num_blocks, MAX_SHARE_BAD) if reference.score * num_blocks < tolerated else None


def staked_log_values(ratio: Values) -> Values:
    """Log e-values of mean losses over what is tolerated of them, shape (num_blocks, len(STAKES)).

    A loss is never negative, so `1 + stake * (ratio - 1)` is 1 at most on average while its mean is tolerated, however
    its rows scatter and depend on each other within the block (Waudby-Smith and Ramdas, "Estimating means of bounded
    random variables by betting", 2024).
    """
    return np.asarray(np.log1p(STAKES * (ratio[:, None] - 1)))


def wealth_limit(trigger: Decay | Slack) -> float:
    """The detector's value, in nats, from which on decay is said."""
    return math.log(trigger.run_length)
