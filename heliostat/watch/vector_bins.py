"""Vectors as a few numbers that can be watched: the norm, and projections on fixed random directions.

Bins of every component would be many and each nearly blind; a change that moves many components together moves the norm
or one of the projections with near certainty, and what is kept stays small however long the vectors are.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Vector
from heliostat.vectors import Matrix, to_matrix
from heliostat.watch.bins import Codes, NumberBins

NUM_DIRECTIONS = 4
SEED = 20260


@dataclass(frozen=True, kw_only=True)
class VectorBins:
    """Bins of one number that is made of a vector; `direction` None is the norm. A missing vector is missing here."""

    source: str
    length: int
    direction: int | None
    cuts: tuple[float, ...]

    @classmethod
    def fit(cls, column: Vector, values: pa.ChunkedArray) -> "list[VectorBins]":
        """The bins of the norm and of each projection."""
        matrix = to_matrix(values, length=column.length)
        unfitted = [
            cls(source=column.name, length=column.length, direction=direction, cuts=())
            for direction in (None, *range(NUM_DIRECTIONS))
        ]
        return [
            cls(source=each.source, length=each.length, direction=each.direction, cuts=each._number_bins(matrix).cuts)
            for each in unfitted
        ]

    @property
    def name(self) -> str:
        """What the number is called, beside the columns."""
        return f"{self.source}:norm" if self.direction is None else f"{self.source}:direction {self.direction + 1}"

    @property
    def num_bins(self) -> int:
        """How many bins there are, missing included."""
        return len(self.cuts) + 2

    def codes(self, values: pa.ChunkedArray) -> Codes:
        """The bin of each vector, shape (num_rows,)."""
        return NumberBins(name=self.name, cuts=self.cuts).codes(self._numbers(to_matrix(values, length=self.length)))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {"source": self.source, "length": self.length, "direction": self.direction, "cuts": list(self.cuts)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "VectorBins":
        """The bins that `to_json` wrote, bit for bit."""
        return cls(
            source=value["source"], length=value["length"], direction=value["direction"], cuts=tuple(value["cuts"])
        )

    def _number_bins(self, matrix: Matrix) -> NumberBins:
        return NumberBins.fit(self.name, self._numbers(matrix))

    def _numbers(self, matrix: Matrix) -> pa.ChunkedArray:
        exact = matrix.astype(np.float64)
        found = np.linalg.norm(exact, axis=1) if self.direction is None else exact @ self._weights
        # The last bits depend on how many rows come together; without them a row is in the same bin in any batch.
        return pa.chunked_array([pa.array(found.astype(np.float32), from_pandas=True)])

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        # The same for every vector of this length, on every machine; signs, so that each component weighs as much.
        random = np.random.default_rng([SEED, self.length, self.direction or 0])
        return np.asarray((random.integers(0, 2, self.length) * 2 - 1) / np.sqrt(self.length), np.float64)
