"""How columns go together: the reference's dependence of each pair of columns, and how far a window's is from it.

Each column is split a few ways into two sides (below a quartile, one text against the others). Rows on both sides of
two columns' splits are counted: exact, and added in any order. Given how many rows lie on either side of each, that
count is a sum of independent 0s and 1s whatever the odds ratio is (Vatutin and Mikhailov 1982), so that Bennett's bound
makes it an e-value, and a column of which other shares of rows lie below its splits, else as before, is no news here:
that leaves odds ratios alone. A spread that changes moves those with columns that depend on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.watch.all_bins import Bins
from heliostat.watch.bins import Codes
from heliostat.watch.scatter import at_size, long_run_effect
from heliostat.watch.splits import Split, splits_of
from heliostat.watch.tables import Tables

Numbers = NDArray[np.int64]
Values = NDArray[np.float64]
TOLERANCE = 0.05  # of a correlation of two sides may come and go: nobody retrains for less
GAPS = np.array([0.05, 0.15, 0.4])  # correlations beyond it: one bet is near whatever change there is
NUM_BETS = 6  # both sides, each of the gaps
MAX_STAKE = 3.0
REFERENCE_ERRORS = 3.0  # the reference is itself an estimate: so many of its standard errors are tolerated
MIN_ROWS = 30
BATCH_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """Each pair of `columns`, in the order of `itertools.combinations`, in one window.

    `log_evidence` are logs of e-values against calm, in nats, of each pair as many as there are bets; `changes` how far
    the correlation of two of the columns' sides surely moved, the largest of each pair, from 0 to 2.
    """

    columns: tuple[str, ...]
    log_evidence: tuple[float, ...]
    changes: tuple[float, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of columns that the numbers are of."""
        return list(combinations(self.columns, 2))

    @property
    def change_by_column(self) -> dict[str, float]:
        """The largest change of a pair that a column is in."""
        return {
            name: max(change for pair, change in zip(self.pairs, self.changes, strict=True) if name in pair)
            for name in self.columns
        }


@dataclass(frozen=True, kw_only=True)
class Together:
    """The splits of the columns, how the reference's rows lie on both sides of two, and how its own windows scatter.

    `reference` is as `count` gives it; `effects` are design effects, one for each pair of columns.
    """

    splits: tuple[Split, ...]
    reference: tuple[int, ...]
    effects: tuple[float, ...] = field(default=())

    @classmethod
    def fit(
        cls, bins: Sequence[Bins], codes: Mapping[str, Codes], *, starts: NDArray[np.int64] | None = None
    ) -> "Together | None":
        """Of the reference's rows, with the window of each row in `starts`; None where fewer than two columns vary."""
        splits = tuple(split for one in bins for split in splits_of(one, codes[one.name]))
        if len({split.column for split in splits}) < 2:
            return None
        whole = cls(splits=splits, reference=())
        whole = cls(splits=splits, reference=whole.count(codes))
        if starts is None:
            return whole
        windows = [
            whole.count({name: one[starts == start] for name, one in codes.items()}) for start in np.unique(starts)
        ]
        return cls(splits=splits, reference=whole.reference, effects=whole._effects(windows))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that vary, in the order given."""
        return tuple(dict.fromkeys(split.column for split in self.splits))

    @property
    def empty(self) -> tuple[int, ...]:
        """The counts of no rows."""
        return (0,) * (1 + len(self.splits) * (len(self.splits) + 1) // 2)

    def count(self, codes: Mapping[str, Codes], *, skipped: Sequence[NDArray[np.bool_]] = ()) -> tuple[int, ...]:
        """How many rows there are, and how many lie on both sides of each two splits (one split twice included).

        Rows that one of `skipped` marks are left out.
        """
        num_rows = len(codes[self.splits[0].column])
        kept = ~np.any([np.zeros(num_rows, np.bool_), *skipped], axis=0)
        found = np.zeros((len(self.splits), len(self.splits)), np.int64)
        for since in range(0, num_rows, BATCH_ROWS):
            rows = slice(since, since + BATCH_ROWS)
            sides = np.stack([split.side(codes[split.column][rows]) & kept[rows] for split in self.splits])
            # A float32 holds every integer up to 2^24, and is multiplied far faster than integers are.
            as_numbers = sides.astype(np.float32)
            found += (as_numbers @ as_numbers.T).astype(np.int64)
        return (int(kept.sum()), *found[np.triu_indices(len(self.splits))].tolist())

    def compare(self, counts: Sequence[int], *, num_windows: int = 0) -> Dependence:
        """A window's counts against the reference, which came in so many windows (0: not known).

        No evidence comes from fewer than 30 rows.
        """
        places, of_pair = self._places()
        num_pairs = len(self.columns) * (len(self.columns) - 1) // 2
        if counts[0] < MIN_ROWS:
            nothing = (0.0,) * (num_pairs * NUM_BETS)
            return Dependence(columns=self.columns, log_evidence=nothing, changes=(0.0,) * num_pairs)
        effect = (np.array(self.effects) if self.effects else np.ones(num_pairs))[of_pair]
        window, reference = (Tables.of(one, len(self.splits), places=places) for one in (counts, self.reference))
        usual_rows = self.reference[0] / num_windows if num_windows else 0.0
        here = np.array([at_size(one, num_rows=counts[0], usual_rows=usual_rows) for one in effect.tolist()])
        evidence, changes = evidence_of(window, reference, effect=effect, window_effect=here)
        first = np.searchsorted(of_pair, np.arange(num_pairs))
        highest = np.maximum.reduceat(evidence, first, axis=0)
        total = np.add.reduceat(np.exp(evidence - highest[of_pair]), first, axis=0)
        mixed = highest + np.log(total / np.bincount(of_pair)[:, None])
        return Dependence(
            columns=self.columns,
            # Rounded down: less evidence is still evidence, and each window's is stored.
            log_evidence=tuple((np.floor(mixed * 100) / 100).ravel().tolist()),
            changes=tuple(np.round(np.maximum.reduceat(changes, first), 3).tolist()),
        )

    def _places(self) -> tuple[tuple[Numbers, Numbers], Numbers]:
        """Each two splits of different columns, ordered by their pair of columns, and which pair that is."""
        column = [self.columns.index(split.column) for split in self.splits]
        rank = {pair: place for place, pair in enumerate(combinations(range(len(self.columns)), 2))}
        found = sorted(
            (rank[column[one], column[other]], one, other)
            for one, other in combinations(range(len(self.splits)), 2)
            if column[one] != column[other]
        )
        pair, one, other = (np.array(values, np.int64) for values in zip(*found, strict=True))
        return (one, other), pair

    def _effects(self, windows: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """How many rows weigh as one independent row, by pair of columns: how windows scatter, over what is chance."""
        places, of_pair = self._places()
        told = [Tables.of(one, len(self.splits), places=places) for one in windows if one[0] >= MIN_ROWS]
        num_pairs = int(of_pair[-1]) + 1
        odds = Tables.of(self.reference, len(self.splits), places=places).log_odds
        deviations, ones = np.array([one.deviations(odds) for one in told]), np.ones(len(told))
        by_pair = [deviations[:, of_pair == pair] for pair in range(num_pairs)]
        return tuple(round(long_run_effect(one, ones, unit=one.shape[1]), 4) for one in by_pair)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {
            "splits": [[split.column, list(split.codes)] for split in self.splits],
            "reference": list(self.reference),
            "effects": list(self.effects),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Together":
        """What `to_json` wrote."""
        return cls(
            splits=tuple(Split(column=column, codes=tuple(codes)) for column, codes in value["splits"]),
            reference=tuple(value["reference"]),
            effects=tuple(value["effects"]),
        )


def evidence_of(window: Tables, reference: Tables, *, effect: Values, window_effect: Values) -> tuple[Values, Values]:
    """Log e-values of each two splits, shape (num_tables, NUM_BETS), and how far they surely moved.

    The effects are how many rows weigh as one, of the reference and of the window.
    """
    unsure = REFERENCE_ERRORS * reference.log_odds_error * np.sqrt(effect)
    spread, expected = window.spread, window.expected(reference.log_odds)
    found = []
    for side in (1.0, -1.0):
        tolerated = window.expected(reference.log_odds + side * unsure) + side * TOLERANCE * spread
        tolerated = np.clip(tolerated, window.lowest, window.highest)
        variance = np.maximum(window.variance(expected), window.variance(tolerated))
        gap = GAPS * spread[:, None] * window.num_rows
        stakes = np.minimum(gap / np.maximum(variance, 1.0)[:, None], MAX_STAKE)
        excess = side * (window.both - window.num_rows * tolerated)
        found.append(stakes * excess[:, None] - variance[:, None] * (np.expm1(stakes) - stakes))
    evidence = np.concatenate(found, axis=1) / window_effect[:, None]
    is_split = spread > 0
    noise = 3 * np.sqrt(window.variance(expected) * window_effect) / window.num_rows
    moved = np.maximum(np.abs(window.both / window.num_rows - expected) - noise, 0.0)
    changes = np.where(is_split, moved / np.where(is_split, spread, 1.0), 0.0)
    return np.where(is_split[:, None], evidence, 0.0), changes
