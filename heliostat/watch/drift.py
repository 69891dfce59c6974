"""How far counts have moved from a reference, and how far chance alone would move them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
SMOOTHING = 0.5  # added to every bin, or one empty bin would make the index infinite


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column in one window: the index, what calm data would show as well, and the excess over that."""

    psi: float
    floor: float

    @property
    def effect(self) -> float:
        """The index beyond what chance and the reference's own scatter explain; at least 0."""
        return max(0.0, self.psi - self.floor)


def psi(reference: Numbers, current: Numbers) -> float:
    """The population stability index of two sets of counts over the same bins; 0 when either is empty."""
    if not reference.sum() or not current.sum():
        return 0.0
    expected, found = _shares(reference), _shares(current)
    return float(((found - expected) * np.log(found / expected)).sum())


def _shares(counts: Numbers) -> NDArray[np.float64]:
    smoothed = counts + SMOOTHING
    return np.asarray(smoothed / smoothed.sum(), np.float64)


def noise_floor(reference: Numbers, current: Numbers) -> float:
    """The index to expect when nothing moved and rows are independent: (bins in use - 1)(1/n + 1/n_ref)."""
    num_reference, num_current = int(reference.sum()), int(current.sum())
    if not num_reference or not num_current:
        return 0.0
    in_use = int(((reference > 0) | (current > 0)).sum())
    return (in_use - 1) * (1 / num_current + 1 / num_reference)
