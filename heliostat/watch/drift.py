"""How far counts have moved from a reference, and how far chance alone would move them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
TOLERANCE = 0.02  # of all rows may change their side of a cut: nobody retrains for less
GAPS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])  # shares of rows: one bet is near whatever change there is
NOISE_95 = 1.8  # nineteen in twenty calm windows of independent rows show less than so many times the expected index
MIN_WINDOWS = 3
SMOOTHING = 0.5  # added to every bin, or one empty bin would make the index infinite


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column in one window: the index, what calm data would show as well, and the excess over that.

    `log_evidence` is the log of an e-value against calm, in nats: infinite where it is not known. `missing` is the
    share of rows without a value, `unseen` the share with one that the reference never held (None: not known), and
    `began_to_vary` says that there are such, and that the reference held one value only.
    """

    psi: float
    floor: float
    log_evidence: float = math.inf
    missing: float = 0.0
    unseen: float | None = None
    began_to_vary: bool = False

    @property
    def effect(self) -> float:
        """The index beyond what chance and the reference's own scatter explain; at least 0."""
        return max(0.0, self.psi - self.floor)


def effect_of_calm(reference: Numbers, current: Numbers, *, calm_psi: float) -> float:
    """The design effect as the index of calm windows shows it, for profiles that kept nothing better."""
    independent = NOISE_95 * noise_floor(reference, current)
    return max(1.0, calm_psi / independent) if independent > 0 else 1.0


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


def design_effect(reference: Numbers, windows: Numbers) -> float:
    """How many rows of a window weigh as much as one independent row, from windows of the reference; at least 1.

    `windows` are the counts of each, shape (num_windows, num_bins). The variance of their shares up to each bin, over
    what independent rows would show (Kish 1965), is widened as if it had been too small by chance; 1 with fewer than
    three windows.
    """
    num_rows = windows.sum(axis=1)
    windows, num_rows = windows[num_rows > 0], num_rows[num_rows > 0]
    if len(windows) < MIN_WINDOWS:
        return 1.0
    expected = np.cumsum(reference)[:-1] / reference.sum()
    shares = np.cumsum(windows, axis=1)[:, :-1] / num_rows[:, None]
    binomial = float((expected * (1 - expected)).sum())
    if not binomial:
        return 1.0
    scatter = float(((shares - expected) ** 2 * num_rows[:, None]).sum()) / (len(windows) - 1)
    return max(1.0, scatter / binomial * (1 + 4 / len(windows)))


def log_evidence(reference: Numbers, current: Numbers, *, effect: float = 1.0) -> float:
    """The log of an e-value against calm: no share of rows up to a bin moved by more than is tolerated.

    Tolerated are TOLERANCE and three standard errors of the reference. The bets are on each cut, both sides and several
    distances; their mean is an e-value too. With `effect` rows that weigh as one independent row, the reference is
    unsure by as much, and the log is divided by it (a power below 1 of an e-value is an e-value).
    """
    num_rows, num_reference = int(current.sum()), int(reference.sum())
    if not num_rows or not num_reference:
        return 0.0
    below = np.cumsum(current)[:-1].astype(np.float64)
    expected = np.cumsum(reference)[:-1] / num_reference
    margin = TOLERANCE + 3 * np.sqrt(expected * (1 - expected) * effect / num_reference)
    values = np.concatenate(
        [
            _bets(below, num_rows, at_most=expected + margin),
            _bets(num_rows - below, num_rows, at_most=1 - expected + margin),
        ]
    )
    tempered = values / effect
    return float(np.logaddexp.reduce(tempered) - math.log(len(tempered)))


def _bets(counts: NDArray[np.float64], num_rows: int, *, at_most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log e-values of counts against shares of at most these, for each of GAPS; 0 where no share is too many."""
    limit = np.minimum(at_most, 1.0)[:, None]
    is_open = limit < 1
    bet = np.where(is_open, np.minimum(GAPS / np.where(is_open, limit * (1 - limit), 1.0), 0.9 / limit), 0.0)
    more, fewer = counts[:, None], num_rows - counts[:, None]
    return np.asarray(more * np.log1p(bet * (1 - limit)) + fewer * np.log1p(-bet * limit)).ravel()
