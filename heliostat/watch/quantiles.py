"""Quantiles of a reference and the distance of others from them: the effect size of a number in its own units."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def wasserstein(current: Values, reference: Sequence[float], *, deviation: float) -> float | None:
    """The mean distance of quantiles from those of a reference, in standard deviations of the reference.

    Both at `even_shares`. None for no values, or where the reference does not vary.
    """
    if not deviation > 0 or not len(reference) or not len(current):
        return None
    return float(np.abs(current - np.asarray(reference)).mean() / deviation)


def reference_quantiles(values: Values, *, num_quantiles: int = 50) -> tuple[float, ...]:
    """The exact quantiles of a reference at even shares, as `wasserstein` takes them; none for no finite value."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ()
    return tuple(np.quantile(finite, even_shares(num_quantiles), method="inverted_cdf").tolist())


def wasserstein_floor(num_values: int) -> float:
    """What independent rows without any change show on average, 1.3 / sqrt(n) (measured)."""
    return float(1.3 / np.sqrt(num_values)) if num_values else float("inf")


def even_shares(num_quantiles: int) -> Values:
    """The middle of each of so many equal shares, shape (num_quantiles,)."""
    return np.asarray((np.arange(num_quantiles) + 0.5) / num_quantiles, np.float64)
