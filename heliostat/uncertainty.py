"""How sure a difference is: intervals that respect that rows of one day are alike."""

import numpy as np
from numpy.typing import NDArray


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
