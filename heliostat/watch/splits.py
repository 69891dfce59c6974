"""A column in two sides: below a cut or above it, one text or another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.watch.all_bins import Bins
from heliostat.watch.bins import CategoryBins, Codes

SHARES = (0.25, 0.5, 0.75)  # of the reference below a cut
NUM_LEVELS = 3
RARE = 0.02  # of the reference on one side: too few rows to tell how they go together with others


@dataclass(frozen=True, kw_only=True)
class Split:
    """The bins of a column whose rows are on the first side."""

    column: str
    codes: tuple[int, ...]

    def side(self, codes: Codes) -> NDArray[np.bool_]:
        """Which rows are on the first side, by the bin of each."""
        is_first = np.zeros(max(int(codes.max(initial=0)), *self.codes) + 1, np.bool_)
        is_first[list(self.codes)] = True
        return np.asarray(is_first[codes])


def splits_of(bins: Bins, codes: Codes) -> list[Split]:
    """The splits of a column by its reference's bins, four at most; none of a column that hardly varies."""
    shares = np.bincount(codes, minlength=bins.num_bins) / max(len(codes), 1)
    found: dict[tuple[int, ...], float] = {}
    for side in (*_sides(bins, shares), (bins.num_bins - 1,)):
        share = float(shares[list(side)].sum())
        if RARE <= share <= 1 - RARE:
            found.setdefault(side, share)
    return [Split(column=bins.name, codes=side) for side in found]


def _sides(bins: Bins, shares: NDArray[np.float64]) -> Iterator[tuple[int, ...]]:
    if isinstance(bins, CategoryBins):
        for level in range(min(NUM_LEVELS, len(bins.levels))):
            yield (level,)
        return
    below = np.cumsum(shares[:-1])
    for share in SHARES:
        cut = int(np.argmin(np.abs(below[:-1] - share))) if len(below) > 1 else 0
        yield tuple(range(cut + 1))
