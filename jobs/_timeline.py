"""Labelled rows in order of time: as much of them as decides which a candidate learns from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import TrainingError
from heliostat.store.staged import Staged

INSTANT = pa.timestamp("us", tz="UTC")


class Timeline(Protocol):
    """Rows numbered from 0 in order of time."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def at(self, row: int) -> datetime:
        """The event time of a row."""

    def before(self, instant: datetime) -> int:
        """How many rows are earlier."""

    def labels_differ(self, first: int, last: int) -> bool:
        """Whether the rows from `first` up to `last` have more than one label."""


@dataclass(frozen=True)
class OfTable:
    """Rows of a table in order of time."""

    table: pa.Table

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return int(self.table.num_rows)

    def at(self, row: int) -> datetime:
        """The event time of a row."""
        return cast(datetime, self.table["event_at"][row].as_py())

    def before(self, instant: datetime) -> int:
        """How many rows are earlier."""
        return int(pc.sum(pc.less(self.table["event_at"], pa.scalar(instant, INSTANT))).as_py() or 0)

    def labels_differ(self, first: int, last: int) -> bool:
        """Whether the rows from `first` up to `last` have more than one label."""
        labels: NDArray[np.float64] = self.table["label"].slice(first, last - first).to_numpy()
        return len(np.unique(labels)) > 1


@dataclass(frozen=True)
class Earlier:
    """The first rows of others."""

    rows: Timeline
    num_rows: int

    def at(self, row: int) -> datetime:
        """The event time of a row."""
        return self.rows.at(row)

    def before(self, instant: datetime) -> int:
        """How many rows are earlier."""
        return min(self.rows.before(instant), self.num_rows)

    def labels_differ(self, first: int, last: int) -> bool:
        """Whether the rows from `first` up to `last` have more than one label."""
        return self.rows.labels_differ(first, last)


Rows = pa.Table | Staged


def timeline(rows: pa.Table | Timeline) -> Timeline:
    """Rows in memory or elsewhere as a timeline."""
    return OfTable(rows) if isinstance(rows, pa.Table) else rows


def split_row(rows: Timeline, first: int, last: int, *, share: float) -> int:
    """Where the latest `share` of the rows from `first` up to `last` begins, as `rows.split_by_time` parts them."""
    count = last - first
    if count < 2:
        raise TrainingError(f"{count} rows cannot be split by time; wait for more labels.")
    found = rows.before(rows.at(first + min(round(count * (1 - share)), count - 1)))
    if found <= first:
        raise TrainingError(
            f"{count:,} rows from {rows.at(first)} to {rows.at(last - 1)} cannot be split by time: "
            "nearly all have the same event time. Train on a longer span."
        )
    return found
