"""A test for a rise in a mean that may be looked at after every block, for ever: a mixture e-detector.

Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (New England
Journal of Statistics in Data Science, 2024). Each bet turns a block into an e-value: above zero, and 1 at most on
average while the mean keeps to what is tolerated. The Shiryaev-Roberts sums of e-values, averaged over the bets,
reach a limit L on calm data after L blocks or more on average, whenever and however often one looks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
# Shifts of the mean in standard deviations of a row: one bet is near whatever shift there is.
SHIFTS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
MIN_SCALE_BLOCKS = 3  # before so many, nobody knows how much blocks scatter


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What the detector says after its last block: `log_value` in nats, and the block with which a change began."""

    log_value: float
    onset: int


def detect(log_values: Values) -> Detected:
    """The mixture's value after all blocks, from each block's log e-value for each bet, shape (num_blocks, num_bets).

    The onset is where the wealth of the best bet was lowest: the most likely first block after the change.
    """
    num_blocks, num_bets = log_values.shape
    sums = shiryaev_roberts(log_values)
    best = int(np.argmax(sums))
    wealth = np.concatenate([[0.0], np.cumsum(log_values[:, best])])[:num_blocks]
    return Detected(
        log_value=float(np.logaddexp.reduce(sums) - np.log(num_bets)),
        onset=int(np.argmin(wealth)),
    )


def shiryaev_roberts(log_values: Values) -> Values:
    """The log of each stream's sum after all blocks, from log e-values of shape (num_blocks, num_streams).

    A sum over all blocks in which a change may have begun, of what the blocks since then are worth.
    """
    if not len(log_values):
        return np.full(log_values.shape[1], -np.inf)
    wealth = np.cumsum(log_values, axis=0)
    before = np.concatenate([np.zeros((1, log_values.shape[1])), wealth[:-1]])
    return np.asarray(wealth[-1] + np.logaddexp.reduce(-before, axis=0))


def surely_moved(log_values: Mapping[str, Values], *, run_length: float) -> list[str]:
    """The streams of e-values that moved, under any dependence between them, in the order of their evidence.

    Of each stream the logs of its bets' e-values, shape (num_blocks, num_bets).
    """
    sums = {name: detect(values).log_value for name, values in log_values.items() if len(values)}
    return surely_large(sums, run_length=run_length)


def aligned(rows: Sequence[Sequence[float]]) -> Values:
    """The logs of e-values of each block as an array; a block that kept fewer bets has said the same of all of them."""
    num_values = max(map(len, rows), default=0)
    return np.array([np.repeat(np.asarray(row, np.float64), num_values // len(row)) for row in rows])


def surely_large(sums: Mapping[str, float], *, run_length: float) -> list[str]:
    """The streams whose Shiryaev-Roberts sums say that they moved, by e-d-BH, the largest first.

    Dandapanthula and Ramdas, "Multiple testing in multi-stream sequential change detection" (2025): the largest r of C
    streams whose r-th largest Shiryaev-Roberts sum reaches C * run_length / r.
    """
    ordered = sorted(sums, key=lambda name: (-sums[name], name))
    limit = math.log(run_length * max(len(ordered), 1))
    passed = [rank for rank, name in enumerate(ordered, start=1) if sums[name] >= limit - math.log(rank)]
    return ordered[: max(passed, default=0)]


def normal_log_values(excess: Values, num_rows: Values, *, variance: Values) -> Values:
    """Log e-values of blocks with these mean excesses, shape (num_blocks, len(SHIFTS)).

    Valid where the sum over a block is sub-Gaussian with `variance` a row, as sums over many rows nearly are. An
    infinite variance says nothing (0 nats).
    """
    scores = np.where(np.isfinite(variance), excess / np.sqrt(variance), 0.0)[:, None]
    rows = np.where(np.isfinite(variance), num_rows, 0.0)[:, None]
    return np.asarray(rows * (SHIFTS * scores - SHIFTS**2 / 2))


def row_variance(residuals: Values, num_rows: Values, *, known: float, floor: float) -> Values:
    """The variance of one row as each block may assume it, from the blocks before it only, shape (num_blocks,).

    `residuals` are means of blocks less what was expected. From squared differences of neighbouring blocks (von Neumann
    1941), which a change of the mean hardly moves; dependence within a block is in it. `known` is what a reference
    showed (0: nothing known), and never undercut. Infinite while too few blocks are known.
    """
    weights = 1 / num_rows[1:] + 1 / num_rows[:-1]
    squares = np.concatenate([[0.0], np.cumsum(np.diff(residuals) ** 2 / weights)])
    num_differences = np.arange(len(squares), dtype=np.float64)
    # With few differences the mean of squares may be far too low by chance: widened as if some were twice as large.
    found = (squares / np.maximum(num_differences, 1)) * (1 + 4 / np.maximum(num_differences, 1))
    before = np.concatenate([[0.0], found])[: len(num_rows)]
    is_seen = np.arange(len(num_rows)) >= MIN_SCALE_BLOCKS
    estimate = np.where(is_seen, before, 0.0)
    floored = np.maximum(np.maximum(estimate, known), floor**2)
    return np.asarray(np.where(is_seen | (known > 0), floored, np.inf))
