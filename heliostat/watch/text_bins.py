"""Texts as two numbers that can be watched: how many terms they have, and how many of these training hardly saw.

What training saw is one bit a bucket, so what is kept stays small however many words there are.
"""

import base64
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Text
from heliostat.texts import PADDING, to_buckets
from heliostat.watch.bins import Codes, NumberBins

TERMS, UNSEEN = "terms", "unseen terms"


@dataclass(frozen=True, kw_only=True)
class TextBins:
    """Bins of one number that is made of a text: of how many terms it has, or which share of them is `UNSEEN`."""

    source: str
    num_buckets: int
    most_terms: int
    measure: str
    seen: str
    cuts: tuple[float, ...]

    @classmethod
    def fit(cls, column: Text, values: pa.ChunkedArray) -> "list[TextBins]":
        """The bins of both numbers."""
        hashing = {"num_buckets": column.num_buckets, "most_terms": column.most_terms}
        found = to_buckets(values, num_buckets=column.num_buckets, most_terms=column.most_terms)
        num_rows = _num_rows(found, column.num_buckets)
        seen = base64.b64encode(np.packbits(num_rows > 0).tobytes()).decode()
        unfitted = [
            cls(source=column.name, **hashing, measure=measure, seen=seen, cuts=()) for measure in (TERMS, UNSEEN)
        ]
        return [
            replace(each, cuts=NumberBins.fit(each.name, each._reference_numbers(values)).cuts) for each in unfitted
        ]

    @property
    def name(self) -> str:
        """What the number is called, beside the columns."""
        return f"{self.source}:{self.measure}"

    @property
    def num_bins(self) -> int:
        """How many bins there are, missing included."""
        return len(self.cuts) + 2

    def codes(self, values: pa.ChunkedArray) -> Codes:
        """The bin of each text, shape (num_rows,)."""
        return NumberBins(name=self.name, cuts=self.cuts).codes(self._numbers(values))

    def reference_codes(self, values: pa.ChunkedArray) -> Codes:
        """The same of the rows of the reference themselves: for each of them, a term that no other has is unseen."""
        return NumberBins(name=self.name, cuts=self.cuts).codes(self._reference_numbers(values))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        names = ("source", "num_buckets", "most_terms", "measure", "seen")
        return {**{name: getattr(self, name) for name in names}, "cuts": list(self.cuts)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TextBins":
        """The bins that `to_json` wrote, bit for bit."""
        return cls(**{**value, "cuts": tuple(value["cuts"])})

    def _numbers(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        buckets = to_buckets(values, num_buckets=self.num_buckets, most_terms=self.most_terms)
        return self._measured(values, buckets, self._is_seen)

    def _reference_numbers(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        buckets = to_buckets(values, num_buckets=self.num_buckets, most_terms=self.most_terms)
        return self._measured(values, buckets, _num_rows(buckets, self.num_buckets) > 1)

    def _measured(
        self, values: pa.ChunkedArray, buckets: NDArray[np.int64], is_seen: NDArray[np.bool_]
    ) -> pa.ChunkedArray:
        is_term = buckets != PADDING
        found = num_terms = is_term.sum(axis=1).astype(np.float64)
        if self.measure == UNSEEN:
            found = (is_term & ~is_seen[buckets]).sum(axis=1) / np.maximum(num_terms, 1)
        return pa.chunked_array([pa.array(found, mask=pc.is_null(values).to_numpy())])

    @cached_property
    def _is_seen(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(base64.b64decode(self.seen), np.uint8)
        return np.unpackbits(bits, count=self.num_buckets).astype(bool)


def _num_rows(buckets: NDArray[np.int64], num_buckets: int) -> NDArray[np.int64]:
    """In how many rows each bucket occurs."""
    ordered = np.sort(buckets, axis=1)
    is_first = np.diff(ordered, axis=1, prepend=-1) != 0
    return np.bincount(ordered[is_first], minlength=num_buckets)
