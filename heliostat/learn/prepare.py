"""What a network may see: numbers clamped to the range of training, categories as codes that were all trained, vectors
as they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number, Text, Vector
from heliostat.errors import BundleError
from heliostat.texts import to_buckets
from heliostat.vectors import to_matrix

UNKNOWN_CODE = 0
MISSING_CODE = 1
FIRST_LEVEL_CODE = 2
RARE_BELOW = 10  # a level, or a missing value, seen in fewer training rows teaches a network nothing
# So many values of every category are hidden in every batch, so that "unknown" is a trained code even where training
# saw no rare level.
HIDDEN_SHARE = 0.03
FEW_ROWS = 128  # up to here one look-up a row is quicker than finding the distinct values first
NUM_SPANS = 32
FORMAT = 1

Prepared = dict[str, NDArray[np.generic]]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NumberRange:
    """What training saw of one number: its range and median, None when it saw no value; whether some were missing."""

    name: str
    low: float | None
    high: float | None
    median: float | None
    missing_seen: bool
    edges: tuple[float, ...] = ()
    """Values of training that rise: where a function of this number may bend."""


class Learned(dict[str, int]):
    """What a network is made for: the number of codes of each category, and what training saw of each number."""

    def __init__(self, sizes: Mapping[str, int], numbers: "Sequence[NumberRange]") -> None:
        super().__init__(sizes)
        self._edges = {number.name: number.edges for number in numbers}

    def edges(self, name: str) -> tuple[float, ...]:
        """At least two values that rise, taken from training: where a function of this number may bend."""
        found = self._edges[name]
        return found if len(found) > 1 else (found[0], found[0] + 1.0) if found else (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What training saw of one category: its frequent levels, in alphabetical order; whether some were missing."""

    name: str
    levels: tuple[str, ...]
    missing_seen: bool

    @property
    def num_codes(self) -> int:
        """How many codes there are, unknown and missing included."""
        return FIRST_LEVEL_CODE + len(self.levels)

    @cached_property
    def _code_by_value(self) -> Mapping[str | None, int]:
        codes: dict[str | None, int] = {level: code for code, level in enumerate(self.levels, FIRST_LEVEL_CODE)}
        codes[None] = MISSING_CODE if self.missing_seen else UNKNOWN_CODE
        return codes

    def codes(self, values: pa.ChunkedArray) -> NDArray[np.int64]:
        """One code a value: 0 unknown or rare, 1 missing (0 if training saw none missing), from 2 on the levels."""
        if len(values) <= FEW_ROWS:
            return self._look_up(values.to_pylist())
        encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
        return np.asarray(self._look_up(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()])

    def _look_up(self, values: list[str | None]) -> NDArray[np.int64]:
        known = self._code_by_value
        return np.array([known.get(value, UNKNOWN_CODE) for value in values], np.int64)


@dataclass(frozen=True, kw_only=True)
class VectorMean:
    """What training saw of one vector: the mean of each component (0 when it saw no value); whether some were missing.

    Components are not clamped: what the numbers of an embedding mean alone, nobody knows.
    """

    name: str
    mean: tuple[float, ...]
    missing_seen: bool

    def prepare(self, values: pa.ChunkedArray) -> NDArray[np.float32]:
        """Shape (num_rows, length), a view of the column where nothing is missing: it must not be changed in place."""
        matrix = to_matrix(values, length=len(self.mean))
        if values.null_count and not self.missing_seen:
            matrix[np.isnan(matrix[:, 0])] = np.array(self.mean, np.float32)
        return matrix


@dataclass(frozen=True, kw_only=True)
class Hashing:
    """How a text becomes buckets: declared, nothing of it is learned."""

    name: str
    num_buckets: int
    most_terms: int
    letters: tuple[int, int] | None = None

    def prepare(self, values: pa.ChunkedArray) -> NDArray[np.int64]:
        """Shape (num_rows, most_terms): buckets from 1 on, then 0."""
        return to_buckets(values, num_buckets=self.num_buckets, most_terms=self.most_terms, letters=self.letters)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> "Hashing":
        """The hashing that `asdict` wrote; bundles from before there were letters have none."""
        letters = stored.get("letters")
        return cls(**{**stored, "letters": None if letters is None else tuple(letters)})


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What was learned from the training rows about single columns; the same for a row whichever batch it is in."""

    numbers: tuple[NumberRange, ...]
    categories: tuple[Vocabulary, ...]
    vectors: tuple[VectorMean, ...] = ()
    texts: tuple[Hashing, ...] = ()

    @classmethod
    def fit(cls, table: pa.Table, columns: Sequence[Column], *, rare_below: int = RARE_BELOW) -> "Preparation":
        """Learn from normalised training rows; their order does not matter."""
        numbers = [_number_range(table[c.name], c, rare_below) for c in columns if isinstance(c, Number)]
        categories = [_vocabulary(table[c.name], c, rare_below) for c in columns if isinstance(c, Category)]
        vectors = [_vector_mean(table[c.name], c, rare_below) for c in columns if isinstance(c, Vector)]
        texts = [
            Hashing(name=c.name, num_buckets=c.num_buckets, most_terms=c.most_terms, letters=c.letters)
            for c in columns
            if isinstance(c, Text)
        ]
        return cls(numbers=tuple(numbers), categories=tuple(categories), vectors=tuple(vectors), texts=tuple(texts))

    @property
    def sizes(self) -> Learned:
        """The number of codes of each category: what an embedding needs; beside them the edges of each number."""
        return Learned({category.name: category.num_codes for category in self.categories}, self.numbers)

    def prepare(self, table: pa.Table) -> Prepared:
        """Normalised rows as arrays: numbers float64, NaN only where training saw NaN too; categories int64 codes;
        vectors float32 of shape (num_rows, length); texts int64 buckets of shape (num_rows, most_terms).
        """
        batch: Prepared = {}
        if self.numbers:
            matrix = self._clamp(_matrix(table.select(self._number_names)))
            batch.update(zip(self._number_names, matrix, strict=True))
        for category in self.categories:
            batch[category.name] = category.codes(table.column(category.name))
        for vector in self.vectors:
            batch[vector.name] = vector.prepare(table.column(vector.name))
        for text in self.texts:
            batch[text.name] = text.prepare(table.column(text.name))
        return batch

    def unknown_counts(self, table: pa.Table) -> dict[str, int]:
        """How many values of each category are present, yet unknown or rare in training."""
        return {
            category.name: int(np.count_nonzero(category.codes(table[category.name].drop_null()) == UNKNOWN_CODE))
            for category in self.categories
        }

    @cached_property
    def _number_names(self) -> list[str]:
        return [number.name for number in self.numbers]

    @cached_property
    def _limits(self) -> tuple[Matrix, Matrix, Matrix]:
        """Low, high and what stands for a missing value, each as a column; NaN where there is none."""
        fills = [None if number.missing_seen else number.median for number in self.numbers]
        limits = [number.low for number in self.numbers], [number.high for number in self.numbers], fills
        low, high, fill = (np.array(values, np.float64)[:, np.newaxis] for values in limits)
        return low, high, fill

    def _clamp(self, matrix: Matrix) -> Matrix:
        low, high, fill = self._limits
        clamped = np.clip(matrix, low, high)
        missing = np.isnan(clamped)
        return np.where(missing, fill, clamped) if missing.any() else clamped

    def to_json(self) -> str:
        """All of it as JSON; `from_json` gives an equal preparation back, to the last bit."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Preparation":
        """The preparation that `to_json` wrote."""
        stored = json.loads(text)
        if stored.get("format") != FORMAT:
            raise BundleError(
                f"The preparation has format {stored.get('format')!r}, this program reads format {FORMAT}; "
                "use the Heliostat version that wrote it."
            )
        return cls(
            numbers=tuple(
                NumberRange(**{**number, "edges": tuple(number.get("edges", ()))}) for number in stored["numbers"]
            ),
            categories=tuple(
                Vocabulary(**{**category, "levels": tuple(category["levels"])}) for category in stored["categories"]
            ),
            # Bundles from before there were vectors and texts have none.
            vectors=tuple(VectorMean(**{**each, "mean": tuple(each["mean"])}) for each in stored.get("vectors", [])),
            texts=tuple(Hashing.from_stored(each) for each in stored.get("texts", [])),
        )


def _matrix(table: pa.Table) -> Matrix:
    """One row a column, all in one copy; null becomes NaN."""
    batches = table.to_batches() if table.num_rows else []
    if len(batches) != 1:
        return np.stack([_to_floats(column) for column in table.columns])
    tensor = batches[0].to_tensor(null_to_nan=True, row_major=False)
    return np.asarray(tensor.to_numpy(), np.float64).T


def _to_floats(values: pa.ChunkedArray) -> NDArray[np.float64]:
    floats: NDArray[np.float64] = values.to_numpy()  # null becomes NaN
    return floats


def _number_range(values: pa.ChunkedArray, column: Number, rare_below: int) -> NumberRange:
    present = values.drop_null()
    missing_seen = values.null_count >= rare_below
    if not len(present):
        return NumberRange(name=column.name, low=None, high=None, median=None, missing_seen=missing_seen)
    floats = _to_floats(present)
    return NumberRange(
        name=column.name,
        low=float(floats.min()),
        high=float(floats.max()),
        median=float(np.median(floats)),
        missing_seen=missing_seen,
        edges=_edges(floats),
    )


def _edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    """All distinct values where they are few; else three in four by rank among rows, the rest by rank among values.

    By rows alone, what is rare and far out (a second cancellation) would be told from nothing else.
    """
    distinct = np.unique(values)
    if len(distinct) > NUM_SPANS:
        by_rows = np.quantile(values, np.linspace(0, 1, NUM_SPANS * 3 // 4 + 1), method="inverted_cdf")
        by_values = np.quantile(distinct, np.linspace(0, 1, NUM_SPANS // 4 + 1), method="inverted_cdf")
        distinct = np.union1d(by_rows, by_values)
    return tuple(distinct.tolist())


def _vector_mean(values: pa.ChunkedArray, column: Vector, rare_below: int) -> VectorMean:
    present = to_matrix(values.drop_null(), length=column.length)
    mean = present.mean(axis=0, dtype=np.float64) if len(present) else np.zeros(column.length)
    return VectorMean(name=column.name, mean=tuple(mean.tolist()), missing_seen=values.null_count >= rare_below)


def _vocabulary(values: pa.ChunkedArray, column: Category, rare_below: int) -> Vocabulary:
    counts = pc.value_counts(values.drop_null().combine_chunks())
    frequent = [entry["values"] for entry in counts.to_pylist() if entry["counts"] >= rare_below]
    return Vocabulary(
        name=column.name,
        levels=tuple(sorted(frequent)),
        missing_seen=values.null_count >= rare_below,
    )
