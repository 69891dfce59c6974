"""What the reference of a column held at all: its range, or its values; what lies outside is new."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
MAX_KNOWN = 1000  # texts with more values (ids, free text) bring new ones all the time; that is not news


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The reference's range of a number, or its texts; neither where that says nothing: then nothing is unseen."""

    name: str
    low: float | None = None
    high: float | None = None
    known: tuple[str, ...] | None = None

    @classmethod
    def fit(cls, name: str, values: pa.ChunkedArray) -> "Extent":
        """The extent of the reference's values; missing ones and those that are not finite left out."""
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            known = pc.unique(pc.drop_null(values.cast(pa.string()))).to_pylist()
            return cls(name=name, known=tuple(sorted(known)) if 0 < len(known) <= MAX_KNOWN else None)
        if not pa.types.is_floating(values.type) and not pa.types.is_integer(values.type):
            return cls(name=name)
        finite = values.cast(pa.float64()).drop_null()
        finite = finite.filter(pc.is_finite(finite))
        found = pc.min_max(finite)
        return cls(name=name, low=found["min"].as_py(), high=found["max"].as_py())

    @property
    def is_known(self) -> bool:
        """Whether there is anything that a value can lie outside of."""
        return self.low is not None or self.known is not None

    @property
    def is_constant(self) -> bool:
        """Whether the reference held one value only."""
        return (self.low is not None and self.low == self.high) or (self.known is not None and len(self.known) == 1)

    def unseen(self, values: pa.ChunkedArray) -> Mask:
        """Which cells hold what the reference never held, shape (num_rows,); a missing one does not."""
        if self.known is not None:
            is_known = pc.is_in(values.cast(pa.string()), value_set=pa.array([*self.known, None], pa.string()))
            return ~np.asarray(is_known.to_numpy(), np.bool_)
        if self.low is None or self.high is None:
            return np.zeros(len(values), np.bool_)
        numbers = np.asarray(pc.fill_null(values.cast(pa.float64()), self.low).to_numpy(), np.float64)
        return (numbers < self.low) | (numbers > self.high)  # NaN, which is missing, is neither

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        known = None if self.known is None else list(self.known)
        return {"name": self.name, "low": self.low, "high": self.high, "known": known}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Extent":
        """The extent that `to_json` wrote."""
        known = value["known"]
        return cls(name=value["name"], low=value["low"], high=value["high"], known=known and tuple(known))
