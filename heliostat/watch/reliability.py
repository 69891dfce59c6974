"""Whether outcomes come as often as was said: answers by how probable they called it, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
EDGES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99)  # an edge belongs to the bin below it


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Labelled rows whose probability lies up to `until`: how many, the mean of what was said, and of what came."""

    until: float
    num_rows: int
    predicted: float
    observed: float


def reliability(labels: Values, probabilities: Values) -> tuple[ReliabilityBin, ...]:
    """The bins that hold a row, in order; `labels` are 0 and 1, both of shape (num_rows,)."""
    places = np.searchsorted(EDGES, probabilities, side="left")
    num_rows = np.bincount(places, minlength=len(EDGES) + 1)
    said = np.bincount(places, weights=probabilities, minlength=len(num_rows))
    came = np.bincount(places, weights=labels, minlength=len(num_rows))
    return tuple(
        ReliabilityBin(until=until, num_rows=int(number), predicted=float(p / number), observed=float(y / number))
        for until, number, p, y in zip((*EDGES, 1.0), num_rows, said, came, strict=True)
        if number
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The mean over rows of the distance between what was said and what came; NaN for no rows."""
    num_rows = sum(one.num_rows for one in bins)
    if not num_rows:
        return float("nan")
    return sum(one.num_rows * abs(one.predicted - one.observed) for one in bins) / num_rows


def to_json(bins: Sequence[ReliabilityBin]) -> list[list[Any]]:
    """Plain values; `from_json` reads them."""
    return [[one.until, one.num_rows, one.predicted, one.observed] for one in bins]


def from_json(value: Sequence[Sequence[Any]]) -> tuple[ReliabilityBin, ...]:
    """The bins that `to_json` wrote."""
    return tuple(ReliabilityBin(until=a, num_rows=b, predicted=c, observed=d) for a, b, c, d in value)
