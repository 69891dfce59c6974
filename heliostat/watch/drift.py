"""How far counts have moved from a reference, and how far chance alone would move them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
TOLERANCE = 0.02  # of all rows may change their side of a cut: nobody retrains for less
GAPS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])  # shares of rows: one bet is near whatever change there is
NUM_NEAR = 3  # of them; bets that are far from each other would only dilute each other's evidence
NUM_BETS = 4  # two sides, near and far
NOISE_95 = 1.8  # nineteen in twenty calm windows of independent rows show less than so many times the expected index
SMOOTHING = 0.5  # added to every bin, or one empty bin would make the index infinite


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column in one window: the index, what calm data would show as well, and the excess over that.

    `log_evidence` are logs of e-values against calm, in nats, one a kind of bet: infinite where not known. `missing`
    is the share of rows without a value, `unseen` the share with one that the reference never held (None: not known),
    and `began_to_vary` says that there are such, and that the reference held one value only.
    """

    psi: float
    floor: float
    log_evidence: tuple[float, ...] = (math.inf,)
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


def log_evidence(
    reference: Numbers, current: Numbers, *, effect: float = 1.0, current_effect: float | None = None
) -> tuple[float, ...]:
    """Logs of e-values against calm, that no share of rows up to a bin moved by more than is tolerated.

    Tolerated are TOLERANCE and three standard errors of the reference. The bets are on each cut, both sides and several
    distances; those of one side that are about as far make one e-value, their mean. With `effect` rows that weigh as
    one independent row, the reference is unsure by as much, and each log is divided by it, or by what it is for the
    current rows (a power below 1 of an e-value is an e-value).
    """
    num_rows, num_reference = int(current.sum()), int(reference.sum())
    if not num_rows or not num_reference:
        return (0.0,) * NUM_BETS
    below = np.cumsum(current)[:-1].astype(np.float64)
    expected = np.cumsum(reference)[:-1] / num_reference
    margin = TOLERANCE + 3 * np.sqrt(expected * (1 - expected) * effect / num_reference)
    sides = ((below, expected + margin), (num_rows - below, 1 - expected + margin))
    tempered = [_bets(counts, num_rows, at_most=limit) / (current_effect or effect) for counts, limit in sides]
    return tuple(_log_mean(side[:, gaps]) for side in tempered for gaps in (slice(0, NUM_NEAR), slice(NUM_NEAR, None)))


def _log_mean(values: NDArray[np.float64]) -> float:
    # Rounded down: less evidence is still evidence, and each window's is stored.
    return math.floor(float(np.logaddexp.reduce(values.ravel()) - math.log(values.size)) * 1000) / 1000


def _bets(counts: NDArray[np.float64], num_rows: int, *, at_most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log e-values of counts against shares of at most these, shape (num_cuts, len(GAPS)); 0 where none is too many."""
    limit = np.minimum(at_most, 1.0)[:, None]
    is_open = limit < 1
    bet = np.where(is_open, np.minimum(GAPS / np.where(is_open, limit * (1 - limit), 1.0), 0.9 / limit), 0.0)
    more, fewer = counts[:, None], num_rows - counts[:, None]
    return np.asarray(more * np.log1p(bet * (1 - limit)) + fewer * np.log1p(-bet * limit))
