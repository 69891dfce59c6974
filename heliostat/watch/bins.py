"""Fixed bins of one column, cut where the reference lies: counting is exact, so counts can be added."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes = NDArray[np.int64]
NUM_QUANTILES = 10
NUM_LEVELS = 9


@dataclass(frozen=True, kw_only=True)
class NumberBins:
    """Bins of a number: up to each cut (the cut included), above the last, and missing."""

    name: str
    cuts: tuple[float, ...]

    @classmethod
    def fit(cls, name: str, values: pa.ChunkedArray) -> "NumberBins":
        """Ten bins with about as many reference rows each; fewer where values repeat."""
        numbers = _to_numbers(values)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return cls(name=name, cuts=())
        # inverted_cdf: a cut is a value that occurs, so columns with few values get one bin a value
        shares = np.arange(1, NUM_QUANTILES) / NUM_QUANTILES
        cuts = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
        if len(cuts) == 1:  # one value fills the column: whatever lies below it needs a bin too
            cuts = np.array([np.nextafter(cuts[0], -np.inf), cuts[0]])
        return cls(name=name, cuts=tuple(cuts.tolist()))

    @property
    def source(self) -> str:
        """The column that is counted."""
        return self.name

    @property
    def num_bins(self) -> int:
        """How many bins there are, missing included."""
        return len(self.cuts) + 2

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds, in words."""
        above = (f"above {self.cuts[-1]!r}",) if self.cuts else ("<any>",)
        return (*(f"up to {cut!r}" for cut in self.cuts), *above, "<missing>")

    def codes(self, values: pa.ChunkedArray) -> Codes:
        """The bin of each value, shape (num_rows,)."""
        numbers = _to_numbers(values)
        codes = np.searchsorted(np.asarray(self.cuts, np.float64), numbers, side="left")
        return np.where(np.isnan(numbers), self.num_bins - 1, codes).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `bins_from_json` reads them."""
        return {"name": self.name, "cuts": list(self.cuts)}


@dataclass(frozen=True, kw_only=True)
class CategoryBins:
    """Bins of a text: its most frequent values, every other one, and missing."""

    name: str
    levels: tuple[str, ...]

    @classmethod
    def fit(cls, name: str, values: pa.ChunkedArray) -> "CategoryBins":
        """The nine most frequent values of the reference, ties broken by the alphabet."""
        tally = pc.value_counts(pc.drop_null(values.cast(pa.string()))).to_pylist()
        tally.sort(key=lambda entry: (-entry["counts"], entry["values"]))
        return cls(name=name, levels=tuple(entry["values"] for entry in tally[:NUM_LEVELS]))

    @property
    def source(self) -> str:
        """The column that is counted."""
        return self.name

    @property
    def num_bins(self) -> int:
        """How many bins there are, other and missing included."""
        return len(self.levels) + 2

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds, in words."""
        return (*self.levels, "<other>", "<missing>")

    def codes(self, values: pa.ChunkedArray) -> Codes:
        """The bin of each value, shape (num_rows,)."""
        text = values.cast(pa.string())
        place = pc.fill_null(pc.index_in(text, value_set=pa.array(self.levels, pa.string())), len(self.levels))
        codes = pc.if_else(pc.is_null(text), self.num_bins - 1, place)
        return np.asarray(codes.to_numpy(), np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `bins_from_json` reads them."""
        return {"name": self.name, "levels": list(self.levels)}


def _to_numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers = pc.fill_null(values.cast(pa.float64()), float("nan"))
    return np.asarray(numbers.to_numpy(), np.float64)
