"""How sure a mean is when rows near in time are alike: whole blocks (days) are the unit, not rows."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
MIN_BLOCKS = 3  # with fewer the scatter between blocks says next to nothing
NORMAL_95 = 1.6448536269514722


@dataclass(frozen=True, kw_only=True)
class BlockMean:
    """A mean over rows and its standard error from the scatter between blocks."""

    mean: float
    standard_error: float
    num_rows: int
    num_blocks: int


def block_mean(sums: Values, num_rows: Values) -> BlockMean:
    """The mean of all rows from each block's sum and number of rows; the error is infinite below 3 blocks."""
    kept = num_rows > 0
    sums, num_rows = np.asarray(sums[kept], np.float64), np.asarray(num_rows[kept], np.float64)
    total, num_blocks = float(num_rows.sum()), len(sums)
    if not num_blocks:
        return BlockMean(mean=math.nan, standard_error=math.inf, num_rows=0, num_blocks=0)
    mean = float(sums.sum()) / total
    if num_blocks < MIN_BLOCKS:
        return BlockMean(mean=mean, standard_error=math.inf, num_rows=int(total), num_blocks=num_blocks)
    scatter = float(((sums - mean * num_rows) ** 2).sum())
    error = math.sqrt(num_blocks / (num_blocks - 1) * scatter) / total
    return BlockMean(mean=mean, standard_error=error, num_rows=int(total), num_blocks=num_blocks)


def sums_by_block(values: Values, blocks: NDArray[np.generic]) -> tuple[Values, Values]:
    """(sum, number of rows) of each block, in the order of the block ids."""
    _, inverse = np.unique(blocks, return_inverse=True)
    return np.bincount(inverse, weights=values).astype(np.float64), np.bincount(inverse).astype(np.float64)


def memory(deviations: Values, *, num_errors: float = 0.0, most_alike: float) -> float:
    """How many blocks next to each other weigh as one, where each is like the one before by some share.

    That share is what neighbours show, without the bias of a short series (Kendall 1954), `num_errors` standard errors
    higher, and `most_alike` at most. `deviations` from what is expected are in the order of time, scaled to one
    variance, shape (num_blocks, ...).
    """
    num_blocks, total = len(deviations), float((deviations**2).sum())
    share = float((deviations[1:] * deviations[:-1]).sum()) / total if total > 0 else 0.0
    bias = (1 + 4 * share) / num_blocks
    error = math.sqrt(max(1 - share**2, 0.1) / num_blocks)
    share = min(max(share + bias + num_errors * error, 0.0), most_alike)
    return (1 + share) / (1 - share)


def one_sided_95(num_blocks: int) -> float:
    """How many standard errors a one-sided 95% bound lies from a mean over that few blocks (Student's t).

    Three terms of the Cornish-Fisher expansion: within 1.5% of the exact quantile from 3 blocks on.
    """
    if num_blocks < MIN_BLOCKS:
        return math.inf
    z, freedom = NORMAL_95, num_blocks - 1
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def block_bootstrap(
    values: NDArray[np.float64], blocks: NDArray[np.generic], *, num_draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of `values` with a 95% percentile interval over resampled blocks.

    `blocks` names the block of each value (such as its day), shape (num_rows,). Whole blocks are drawn with
    replacement (Künsch 1989, non-overlapping form), so dependence inside a block does not narrow the interval.
    NaN three times when there are no values.
    """
    if len(values) == 0:
        return float("nan"), float("nan"), float("nan")
    _, index = np.unique(blocks, return_inverse=True)
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index).astype(np.float64)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(sums), size=(num_draws, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
