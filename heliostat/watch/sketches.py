"""Windows in memory that does not grow with traffic: quantiles, distinct and frequent values (Apache DataSketches).

Sketches of parts merge to that of the whole, within their error. They are shown, and decide nothing: decisions follow
from exact counts, so that a replay gives the same ones.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasketches import (
    frequent_items_error_type,
    frequent_strings_sketch,
    hll_sketch,
    hll_union,
    kll_floats_sketch,
)
from numpy.typing import NDArray

KLL_K = 200  # a quantile's rank is off by 1.3% at most, 99 times in 100
HLL_K = 12  # 2^12 registers: distinct values are told within 1.6% (one standard error)
FREQUENT_K = 7  # at most 96 texts are counted at once
QUANTILES = (0.05, 0.5, 0.95)
LATENCY = "latency_ms"  # of the log; no input can have such a name
NO_FALSE_NEGATIVES = frequent_items_error_type.NO_FALSE_NEGATIVES


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a sketch says of one column: quantiles of a number at QUANTILES, distinct values of a text."""

    num_values: int
    quantiles: tuple[float, ...] = ()
    distinct: float | None = None


class NumberSketch:
    """The distribution of a number; missing values are left out."""

    kind = "number"

    def __init__(self, sketch: kll_floats_sketch | None = None) -> None:
        self._sketch = kll_floats_sketch(KLL_K) if sketch is None else sketch

    def add(self, values: pa.ChunkedArray) -> None:
        """Take in values; what is not finite is left out."""
        numbers = np.asarray(values.cast(pa.float64()).drop_null().to_numpy(), np.float64)
        self._sketch.update(numbers[np.isfinite(numbers)].astype(np.float32))

    def merge(self, other: "NumberSketch") -> None:
        """Take in what another one saw."""
        self._sketch.merge(other._sketch)

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """The values below which so large shares lie; empty for no values."""
        return np.array([] if self._sketch.is_empty() else self._sketch.get_quantiles(list(shares)), np.float64)

    @property
    def shape(self) -> Shape:
        """How many values, and their quantiles."""
        return Shape(num_values=self._sketch.n, quantiles=tuple(self.quantiles(QUANTILES).tolist()))

    def to_json(self) -> list[str]:
        """Text; `sketch_from_json` reads it."""
        return [self.kind, _text(self._sketch.serialize())]


class TextSketch:
    """How many different texts there were, and which were the most frequent; missing ones are left out."""

    kind = "text"

    def __init__(self, distinct: hll_sketch | None = None, frequent: frequent_strings_sketch | None = None) -> None:
        self._distinct = hll_union(HLL_K)
        if distinct is not None:
            self._distinct.update(distinct)
        self._frequent = frequent_strings_sketch(FREQUENT_K) if frequent is None else frequent

    def add(self, values: pa.ChunkedArray) -> None:
        """Take in texts: each different one once, with how often it came."""
        for entry in pc.value_counts(values.cast(pa.string()).drop_null()).to_pylist():
            self._distinct.update(entry["values"])
            self._frequent.update(entry["values"], entry["counts"])

    def merge(self, other: "TextSketch") -> None:
        """Take in what another one saw."""
        self._distinct.update(other._distinct.get_result())
        self._frequent.merge(other._frequent)

    def frequent(self, num_values: int) -> list[tuple[str, int]]:
        """The most frequent texts, each with about how often it came, the most frequent first."""
        found = [(text, count) for text, count, *_ in self._frequent.get_frequent_items(NO_FALSE_NEGATIVES)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:num_values]

    @property
    def shape(self) -> Shape:
        """How many values, and how many different ones."""
        return Shape(num_values=self._frequent.total_weight, distinct=self._distinct.get_estimate())

    def to_json(self) -> list[str]:
        """Text; `sketch_from_json` reads it."""
        return [self.kind, _text(self._distinct.get_result().serialize_compact()), _text(self._frequent.serialize())]


Sketch = NumberSketch | TextSketch


def sketch_from_json(value: Sequence[str]) -> Sketch:
    """The sketch that `to_json` wrote."""
    kind, *texts = value
    parts = [base64.b64decode(text) for text in texts]
    if kind == NumberSketch.kind:
        return NumberSketch(kll_floats_sketch.deserialize(parts[0]))
    return TextSketch(hll_sketch.deserialize(parts[0]), frequent_strings_sketch.deserialize(parts[1]))


def add_rows(sketches: Mapping[str, Sketch], rows: pa.Table, *, unsent: Mapping[str, NDArray[np.bool_]]) -> None:
    """Take the rows' cells into the sketch of each column; those that `unsent` marks are left out."""
    for name, sketch in sketches.items():
        values = rows.column(name)
        sketch.add(values.filter(pa.array(~unsent[name])) if name in unsent else values)


def _text(serialized: bytes) -> str:
    return base64.b64encode(serialized).decode()


def frequent(sketches: Mapping[str, Sketch], *, num_values: int = 5) -> dict[str, list[tuple[str, int]]]:
    """The most frequent values of each text, each with about how often it came."""
    return {name: one.frequent(num_values) for name, one in sketches.items() if isinstance(one, TextSketch)}


def to_json(sketches: Mapping[str, Sketch]) -> dict[str, Any]:
    """Plain values by column; `sketch_from_json` reads each."""
    return {name: sketch.to_json() for name, sketch in sketches.items()}
