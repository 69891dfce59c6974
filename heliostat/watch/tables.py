"""Many two-by-two tables at once: rows on both sides of two splits, and what is expected of them by an odds ratio."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Values = NDArray[np.float64]
SMOOTHING = 0.5  # added to every cell, or an empty one would make the odds infinite


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Of `num_rows` rows, how many lie on the first side of one split, of the other, and of both: one entry a table."""

    num_rows: int
    one: Values
    other: Values
    both: Values

    @classmethod
    def of(cls, counts: Sequence[int], num_splits: int, *, places: tuple[Numbers, Numbers]) -> "Tables":
        """The tables of each two splits at `places` from `Together.count`."""
        matrix = np.zeros((num_splits, num_splits))
        matrix[np.triu_indices(num_splits)] = counts[1:]
        sides = np.diag(matrix)
        return cls(num_rows=counts[0], one=sides[places[0]], other=sides[places[1]], both=matrix[places[0], places[1]])

    @property
    def _cells(self) -> tuple[Values, Values, Values, Values]:
        neither = self.num_rows - self.one - self.other + self.both
        cells = (self.both, self.one - self.both, self.other - self.both, neither)
        first, second, third, fourth = (cell + SMOOTHING for cell in cells)
        return first, second, third, fourth

    @property
    def log_odds(self) -> Values:
        """The log of each table's odds ratio: 0 where the two know nothing of each other."""
        both, one, other, neither = self._cells
        return np.asarray(np.log(both * neither / (one * other)))

    @property
    def log_odds_error(self) -> Values:
        """Its standard error for independent rows (Woolf 1955)."""
        return np.asarray(np.sqrt(np.sum([1 / cell for cell in self._cells], axis=0)))

    @property
    def spread(self) -> Values:
        """What a correlation of 1 moves of the share of rows on both sides; 0 where all rows are on one."""
        one, other = self.one / self.num_rows, self.other / self.num_rows
        return np.asarray(np.sqrt(one * (1 - one) * other * (1 - other)))

    @property
    def lowest(self) -> Values:
        """The least share of rows that can be on both first sides."""
        return np.maximum(0.0, (self.one + self.other) / self.num_rows - 1)

    @property
    def highest(self) -> Values:
        """The largest share of rows that can be on both first sides."""
        return np.minimum(self.one, self.other) / self.num_rows

    def expected(self, log_odds: Values) -> Values:
        """The share of rows on both first sides that such odds mean with as many on each (Plackett 1965)."""
        return expected_share(self.one / self.num_rows, self.other / self.num_rows, log_odds=log_odds)

    def variance(self, both: Values) -> Values:
        """The variance of the number of rows on both first sides, given each side, where this share is expected."""
        one, other = self.one / self.num_rows, self.other / self.num_rows
        cells = np.stack([both, one - both, other - both, 1 - one - other + both])
        is_open = cells.min(axis=0) > 0
        inverse = np.where(is_open, (1 / np.where(cells > 0, cells, 1.0)).sum(axis=0), np.inf)
        return np.asarray(self.num_rows / inverse * self.num_rows / max(self.num_rows - 1, 1))

    def deviations(self, log_odds: Values) -> Values:
        """How far each is from what the odds mean, in standard deviations of independent rows; 0 where none varies."""
        share = self.expected(log_odds)
        variance = self.variance(share)
        is_open = variance > 0
        far = self.both - self.num_rows * share
        return np.asarray(np.where(is_open, far / np.sqrt(np.where(is_open, variance, 1.0)), 0.0))


def expected_share(one: Values, other: Values, *, log_odds: Values) -> Values:
    """The share on both sides of which `one` and `other` are the shares, with these odds."""
    odds = np.exp(log_odds)
    total = 1 + (one + other) * (odds - 1)
    root = np.sqrt(np.maximum(total**2 - 4 * odds * (odds - 1) * one * other, 0.0))
    # The larger root's form divides by odds - 1; this one is the same and holds at 1 too.
    return np.asarray(2 * odds * one * other / (total + root))
