"""Prepared rows with their labels, which still know which rows of the lake they are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.learn.prepare import Preparation, Prepared
from heliostat.learn.rows import EVENT_AT, KEY, LABEL


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where examples are from: key and event time of each row, and what was learned about the columns."""

    rows: pa.Table
    preparation: Preparation

    @cached_property
    def notes(self) -> dict[str, str]:
        """What is odd about single columns in all of training, by the column's name."""
        notes = {}
        for number in self.preparation.numbers:
            if number.low is None:
                notes[number.name] = f"{number.name} has no value in any training row"
            elif number.low == number.high:
                notes[number.name] = f"{number.name} is {number.low:g} in every training row"
        return notes


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Prepared rows with their labels; `positions` are their places in `origin.rows`."""

    batch: Prepared
    labels: NDArray[np.float64]
    positions: NDArray[np.int64]
    origin: Origin

    @classmethod
    def of(cls, rows: pa.Table, preparation: Preparation) -> "Examples":
        """Rows as `rows.ordered` gives them, prepared."""
        return cls(
            batch=preparation.prepare(rows),
            labels=rows[LABEL].to_numpy(),
            positions=np.arange(rows.num_rows),
            origin=Origin(rows=rows.select([KEY, EVENT_AT]), preparation=preparation),
        )

    @property
    def num_rows(self) -> int:
        """How many examples there are."""
        return len(self.labels)

    @property
    def num_bytes_a_row(self) -> float:
        """How much memory the prepared columns of one row take."""
        return sum(values.nbytes for values in self.batch.values()) / max(self.num_rows, 1)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """These rows alone, as copies."""
        batch = {name: values[rows] for name, values in self.batch.items()}
        return Examples(batch=batch, labels=self.labels[rows], positions=self.positions[rows], origin=self.origin)

    def part(self, start: int, end: int) -> "Examples":
        """The rows from `start` up to `end`, not copied."""
        batch = {name: values[start:end] for name, values in self.batch.items()}
        labels, positions = self.labels[start:end], self.positions[start:end]
        return Examples(batch=batch, labels=labels, positions=positions, origin=self.origin)

    def row_name(self, row: int) -> str:
        """How to find this row again: its key and its event time, or its place where rows have neither."""
        if KEY not in self.origin.rows.column_names:
            return f"row {int(self.positions[row]) + 1}"
        found = self.origin.rows.slice(int(self.positions[row]), 1).to_pylist()[0]
        return f"the row with key {found[KEY]!r} at {found[EVENT_AT]:%Y-%m-%dT%H:%M:%S%z}"
