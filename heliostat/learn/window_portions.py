"""What one worker gets of a window, read and prepared in any process.

No torch in here: processes that only read need not wait for its import.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column
from heliostat.learn import epoch_windows
from heliostat.learn.epoch_windows import Window
from heliostat.learn.prepare import HIDDEN_SHARE, UNKNOWN_CODE, Preparation
from heliostat.learn.rows import EVENT_AT, KEY, LABEL, named
from heliostat.records import Piece

Read = Callable[[Sequence[Piece]], pa.Table]


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What one worker gets of a window: the rows of some lanes."""

    window: Window
    lanes: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """The rows of these lanes."""
        return sum(epoch_windows.num_rows(self.window.lanes[lane]) for lane in self.lanes)


@dataclass(frozen=True, kw_only=True)
class Load:
    """Reads and prepares one portion, in any process: rows in the order in which batches take them."""

    read: Read
    columns: tuple[Column, ...]
    preparation: Preparation
    seeds: tuple[int, ...]

    def __call__(self, portion: Portion) -> pa.Table:
        """Key, event time and label of each row, and its prepared columns."""
        window, lanes = portion.window, portion.lanes
        rows = named(self.read([one for lane in lanes for one in window.lanes[lane]]), self.columns, purpose="training")
        batch = {name: values.copy() for name, values in self.preparation.prepare(rows).items()}
        hidden = epoch_windows.hidden_in(window, lanes, seeds=self.seeds, num_columns=len(batch), share=HIDDEN_SHARE)
        for column, values in enumerate(batch.values()):
            if values.dtype.kind in "iu":
                values[hidden[:, column]] = UNKNOWN_CODE
        order = epoch_windows.order_in(window, lanes, seeds=self.seeds)
        prepared = {name: _to_arrow(values[order]) for name, values in batch.items()}
        return pa.table({**_columns(rows.select([KEY, EVENT_AT, LABEL]).take(pa.array(order))), **prepared})


Deliver = Callable[[Sequence[Portion], Load], Iterator[pa.Table]]
"""Loads portions, one after the other in this order, each as one table or several; wherever it likes."""


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _to_arrow(values: NDArray[np.generic]) -> pa.Array:
    """A prepared column, NaN staying NaN; one of several numbers a row as lists of that length."""
    flat = pa.array(values.reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
