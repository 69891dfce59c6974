"""Drift within slices: how the reference's rows of each slice lie in the bins, and how far a window's are from it.

A slice is a group of a declared column, as its bins tell groups apart. What moves in a slice of few rows hardly moves
the whole; here it is compared with that slice's own reference, on the same bins.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.watch.all_bins import Bins
from heliostat.watch.bins import CategoryBins, Codes, NumberBins
from heliostat.watch.calm import MIN_WINDOW_ROWS, by_window, calm_psi
from heliostat.watch.drift import NUM_BETS, log_evidence, noise_floor, psi
from heliostat.watch.scatter import at_size, design_effect

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
MAX_SLICES = 16
MAX_STREAMS = 512  # slices times columns: each window's evidence of each is stored, as much as of a hundred columns
BATCH_ROWS = 65_536  # counted at once: a row is in as many slices as there are columns of slices
MIN_SLICE_ROWS = 100  # of the reference; of fewer nobody knows what they look like


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows of one group of a column: its name in words, and the bin that holds it."""

    column: str
    group: str
    code: int


@dataclass(frozen=True, kw_only=True)
class SliceDrifts:
    """Each of `columns` in each of `slices` (column, group) in one window, slice by slice.

    `log_evidence` are logs of e-values against calm, in nats, as many of each as there are kinds of bets, and `effects`
    indices beyond calm; both are 0 for the slice's own column, and in slices of fewer than 30 rows.
    """

    slices: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    num_rows: tuple[int, ...]
    log_evidence: tuple[float, ...]
    effects: tuple[float, ...]

    @property
    def streams(self) -> list[tuple[tuple[str, str], str]]:
        """The slice and the column that the numbers are of, in their order."""
        return [(one, column) for one in self.slices for column in self.columns]


@dataclass(frozen=True, kw_only=True)
class Within:
    """The slices, the columns that are watched in them, and how the reference's rows of each slice fill the bins.

    `num_bins` are those of each column. `reference` is as `count` gives it; `calm` and `design` are the index that calm
    windows stay below and the rows that weigh as one, of each column in each slice.
    """

    slices: tuple[Slice, ...]
    columns: tuple[str, ...]
    num_bins: tuple[int, ...]
    reference: tuple[int, ...]
    calm: tuple[float, ...] = ()
    design: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        bins: Sequence[Bins],
        codes: Mapping[str, Codes],
        *,
        starts: NDArray[np.int64] | None = None,
    ) -> "Within | None":
        """The largest groups of the named columns, with the window of each row in `starts`; None without any."""
        found = sorted(_groups(names, bins, codes), key=lambda one: (-one[0], one[1].column, one[1].code))
        kept = found[: max(1, min(MAX_SLICES, MAX_STREAMS // len(bins)))]
        if not kept:
            return None
        slices = tuple(one for _, one in kept)
        whole = cls(
            slices=slices,
            columns=tuple(one.name for one in bins),
            num_bins=tuple(one.num_bins for one in bins),
            reference=(),
        )
        reference = whole.count(codes)
        cells = [] if starts is None else [whole._windows(one, codes, starts) for one in slices]
        table = whole._table(reference)
        pairs = [
            (expected, windows)
            for row, by_column in zip(table, cells, strict=False)
            for expected, windows in zip(row, by_column, strict=True)
        ]
        return cls(
            slices=slices,
            columns=whole.columns,
            num_bins=whole.num_bins,
            reference=reference,
            calm=tuple(round(calm_psi(*pair), 4) for pair in pairs),
            design=tuple(math.ceil(design_effect(*pair) * 1000) / 1000 for pair in pairs),
        )

    @property
    def empty(self) -> tuple[int, ...]:
        """The counts of no rows."""
        return (0,) * (len(self.slices) * (1 + sum(self.num_bins)))

    def count(self, codes: Mapping[str, Codes], *, unsent: Mapping[str, Mask] | None = None) -> tuple[int, ...]:
        """Of each slice how many rows there are and how they fill the bins of each column, one after the other.

        Cells that `unsent` marks, by the name of the bins, are in no bin, and of a slice's own column in no slice.
        """
        skipped, found = unsent or {}, np.zeros((len(self.slices), 1 + sum(self.num_bins)), np.int64)
        num_rows = len(next(iter(codes.values())))
        for start in range(0, num_rows, BATCH_ROWS):
            here = slice(start, start + BATCH_ROWS)
            found += self._counted(
                {name: one[here] for name, one in codes.items()}, {name: one[here] for name, one in skipped.items()}
            )
        return tuple(found.ravel().tolist())

    def _counted(self, codes: Mapping[str, Codes], skipped: Mapping[str, Mask]) -> Numbers:
        places, rows = self._members(codes, skipped)
        num_slices = len(self.slices)
        counts = [np.bincount(places, minlength=num_slices)[:, None]]
        for name, num_bins in zip(self.columns, self.num_bins, strict=True):
            place, row = places, rows
            if name in skipped:
                is_sent = ~skipped[name][rows]
                place, row = places[is_sent], rows[is_sent]
            cells = np.bincount(place * num_bins + codes[name][row], minlength=num_slices * num_bins)
            counts.append(cells.reshape(num_slices, num_bins))
        return np.hstack(counts)

    def _members(self, codes: Mapping[str, Codes], skipped: Mapping[str, Mask]) -> tuple[Numbers, Numbers]:
        """(slice, row) of each row in each slice that it is in: one bincount a column is then enough for all slices."""
        places, rows = [], []
        for column in dict.fromkeys(one.column for one in self.slices):
            code_by_place = {place: one.code for place, one in enumerate(self.slices) if one.column == column}
            lookup = np.full(max(int(codes[column].max(initial=0)), *code_by_place.values()) + 1, -1)
            lookup[[*code_by_place.values()]] = [*code_by_place]
            found = lookup[codes[column]]
            is_inside = found >= 0 if column not in skipped else (found >= 0) & ~skipped[column]
            places.append(found[is_inside])
            rows.append(np.flatnonzero(is_inside))
        return np.concatenate(places), np.concatenate(rows)

    def compare(self, counts: Sequence[int], *, num_windows: int = 0) -> SliceDrifts:
        """A window's counts against the reference of each slice, which came in so many windows (0: not known)."""
        num_rows = np.array(counts, np.int64).reshape(len(self.slices), -1)[:, 0]
        streams = list(self._streams(counts, num_windows=num_windows))
        return SliceDrifts(
            slices=tuple((one.column, one.group) for one in self.slices),
            columns=self.columns,
            num_rows=tuple(num_rows.tolist()),
            # Rounded down: less evidence is still evidence, and each window's is stored.
            log_evidence=tuple(math.floor(one * 100) / 100 for evidence, _ in streams for one in evidence),
            effects=tuple(round(effect, 3) for _, effect in streams),
        )

    def _streams(self, counts: Sequence[int], *, num_windows: int) -> Iterator[tuple[tuple[float, ...], float]]:
        """(logs of evidence, index beyond calm) of each column in each slice."""
        place = 0
        for one, expected, found in zip(self.slices, self._table(self.reference), self._table(counts), strict=True):
            for name, reference, current in zip(self.columns, expected, found, strict=True):
                calm, design = (self.calm[place], self.design[place]) if self.calm else (0.0, 1.0)
                place += 1
                if name == one.column or current.sum() < MIN_WINDOW_ROWS:
                    yield (0.0,) * NUM_BETS, 0.0
                    continue
                usual_rows = int(reference.sum()) / num_windows if num_windows else 0.0
                here = at_size(design, num_rows=int(current.sum()), usual_rows=usual_rows)
                floor = max(noise_floor(reference, current), calm)
                evidence = log_evidence(reference, current, effect=design, current_effect=here)
                yield evidence, max(0.0, psi(reference, current) - floor)

    def _table(self, counts: Sequence[int]) -> list[list[Numbers]]:
        """The bins of each column in each slice."""
        cells = np.array(counts, np.int64).reshape(len(self.slices), -1)[:, 1:]
        return [np.split(row, np.cumsum(self.num_bins)[:-1]) for row in cells]

    def _windows(self, one: Slice, codes: Mapping[str, Codes], starts: NDArray[np.int64]) -> list[Numbers]:
        """The counts of each window of the slice's rows, of each column."""
        inside = codes[one.column] == one.code
        return [
            by_window(codes[name][inside], starts[inside], num_bins=num_bins)
            for name, num_bins in zip(self.columns, self.num_bins, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {
            "slices": [[one.column, one.group, one.code] for one in self.slices],
            "columns": list(self.columns),
            "num_bins": list(self.num_bins),
            "reference": list(self.reference),
            "calm": list(self.calm),
            "design": list(self.design),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Within":
        """What `to_json` wrote."""
        return cls(
            slices=tuple(Slice(column=column, group=group, code=code) for column, group, code in value["slices"]),
            **{name: tuple(value[name]) for name in ("columns", "num_bins", "reference", "calm", "design")},
        )


def _groups(names: Sequence[str], bins: Sequence[Bins], codes: Mapping[str, Codes]) -> Iterator[tuple[int, Slice]]:
    """(rows, slice) of each group of the named columns with enough rows of the reference."""
    for one in bins:
        if one.name not in names or not isinstance(one, NumberBins | CategoryBins):
            continue
        for code, num_rows in enumerate(np.bincount(codes[one.name], minlength=one.num_bins).tolist()):
            if num_rows >= MIN_SLICE_ROWS:
                yield num_rows, Slice(column=one.name, group=one.names[code], code=code)
