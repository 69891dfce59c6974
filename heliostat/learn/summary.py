"""What must be known of all training rows before the first is learned from, found in one pass that holds few of them.

Counts and extremes are exact. Medians, edges and the spread of quantities are those of at most MOST_DRAWN rows at even
distances: up to so many training rows all is as where they lie in memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number, Vector
from heliostat.learn.prepare import RARE_BELOW, NumberRange, Preparation, VectorMean, Vocabulary
from heliostat.learn.row_checks import check_labels
from heliostat.learn.rows import EVENT_AT, LABEL, named
from heliostat.learn.streamed import Streamed, drawn
from heliostat.vectors import to_matrix
from heliostat.workload import Workload

MOST_DRAWN = 200_000
Values = NDArray[np.float64]


class Summary:
    """One pass over streamed rows; `drawn` are those at even distances."""

    def __init__(self, workload: Workload, rows: Streamed) -> None:
        self._task, self._columns, self.num_rows = workload.task, tuple(workload.columns), rows.num_rows
        self._label_counts: Counter[float] = Counter()
        self._nulls: Counter[str] = Counter()
        self._levels: dict[str, Counter[str]] = {c.name: Counter() for c in self._columns if isinstance(c, Category)}
        self._extremes: dict[str, tuple[float, float]] = {}
        self._sums = {c.name: np.zeros(c.length) for c in self._columns if isinstance(c, Vector)}
        self._instants: list[datetime] = []
        stride = max(1, -(-self.num_rows // MOST_DRAWN))
        self.drawn = drawn(map(self._counted, rows.tables()), stride=stride)

    @property
    def labels(self) -> Values:
        """Every label that occurs, once; of quantities the extremes of some rows at a time."""
        return np.array(sorted(self._label_counts))

    @property
    def first_event_at(self) -> datetime:
        """The earliest event."""
        return min(self._instants)

    @property
    def last_event_at(self) -> datetime:
        """The latest event."""
        return max(self._instants)

    @property
    def constant(self) -> Values:
        """The best answer that is the same for all rows; of quantities by the rows drawn."""
        if self._task.kind == "quantity":
            return self._task.constant(self.drawn[LABEL].to_numpy())
        shares = [count / self.num_rows * self._task.constant(np.array([c])) for c, count in self._label_counts.items()]
        return np.asarray(np.sum(shares, axis=0), np.float64)

    def preparation(self) -> Preparation:
        """What `Preparation.fit` would learn from all rows, medians and edges by those drawn."""
        found = Preparation.fit(self.drawn, self._columns)
        return replace(
            found,
            numbers=tuple(map(self._number, found.numbers)),
            categories=tuple(map(self._category, found.categories)),
            vectors=tuple(map(self._vector, found.vectors)),
        )

    def _counted(self, table: pa.Table) -> pa.Table:
        rows = named(table, self._columns, purpose="training")
        check_labels(self._task, rows, purpose="training")
        labels = np.unique(rows[LABEL].to_numpy(), return_counts=True)
        if self._task.kind == "quantity":  # as many values as rows: two that differ say enough
            self._label_counts.update({float(labels[0][0]): 1, float(labels[0][-1]): 1})
        else:
            self._label_counts.update(dict(zip(labels[0].tolist(), labels[1].tolist(), strict=True)))
        self._instants = _bounds(rows, self._instants)
        for column in self._columns:
            self._count(column, rows[column.name])
        return rows

    def _count(self, column: Column, values: pa.ChunkedArray) -> None:
        self._nulls[column.name] += values.null_count
        present = values.drop_null()
        if not len(present):
            return
        if isinstance(column, Number):
            found = pc.min_max(present).as_py()
            low, high = self._extremes.get(column.name, (found["min"], found["max"]))
            self._extremes[column.name] = (min(low, found["min"]), max(high, found["max"]))
        elif isinstance(column, Category):
            counted = pc.value_counts(present.combine_chunks()).to_pylist()
            self._levels[column.name].update({entry["values"]: entry["counts"] for entry in counted})
        elif isinstance(column, Vector):
            self._sums[column.name] += to_matrix(present, length=column.length).sum(axis=0, dtype=np.float64)

    def _is_missing(self, name: str) -> bool:
        return self._nulls[name] >= RARE_BELOW

    def _number(self, found: NumberRange) -> NumberRange:
        missing_seen = self._is_missing(found.name)
        if found.name not in self._extremes:
            return replace(found, missing_seen=missing_seen)
        low, high = self._extremes[found.name]
        return replace(
            found,
            low=float(low),
            high=float(high),
            median=float(low) if found.median is None else found.median,
            missing_seen=missing_seen,
            edges=tuple(sorted({*found.edges, float(low), float(high)})),
        )

    def _category(self, found: Vocabulary) -> Vocabulary:
        levels = sorted(level for level, count in self._levels[found.name].items() if count >= RARE_BELOW)
        return Vocabulary(name=found.name, levels=tuple(levels), missing_seen=self._is_missing(found.name))

    def _vector(self, found: VectorMean) -> VectorMean:
        num_present = max(1, self.num_rows - self._nulls[found.name])
        mean = tuple((self._sums[found.name] / num_present).tolist())
        return VectorMean(name=found.name, mean=mean, missing_seen=self._is_missing(found.name))


def _bounds(rows: pa.Table, before: Sequence[datetime]) -> list[datetime]:
    """The earliest and the latest event of these rows and those before."""
    found = pc.min_max(rows[EVENT_AT]).as_py()
    known = [*before, found["min"], found["max"]]
    return [min(known), max(known)]
