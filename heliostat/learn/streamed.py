"""Rows that are read again in every epoch, a window at a time, so that memory does not grow with the table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column
from heliostat.errors import TrainingError
from heliostat.learn import epoch_windows, parallel
from heliostat.learn.examples import Examples, Origin
from heliostat.learn.prepare import Preparation, Prepared
from heliostat.learn.rows import EVENT_AT, KEY, LABEL, named
from heliostat.learn.shares import Share
from heliostat.learn.window_portions import Deliver, Load, Portion, Read
from heliostat.records import Piece

PIECES_AT_ONCE = 64


def here(portions: Sequence[Portion], load: Load) -> Iterator[pa.Table]:
    """Loads each portion in this process, when it is wanted."""
    return map(load, portions)


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """Labelled rows in order of time, as pieces of files that `read` reads; `digest` names their content.

    `deliver` is how the prepared rows of an epoch come to the worker that learns from them.
    """

    pieces: tuple[Piece, ...]
    read: Read
    digest: str
    deliver: Deliver = here

    @cached_property
    def num_rows(self) -> int:
        """How many there are."""
        return epoch_windows.num_rows(self.pieces)

    def tables(self) -> Iterator[pa.Table]:
        """All rows in order of time, some at a time."""
        for first in range(0, len(self.pieces), PIECES_AT_ONCE):
            yield self.read(self.pieces[first : first + PIECES_AT_ONCE])

    def drawn(self, most: int) -> pa.Table:
        """At most so many rows, at even distances."""
        return drawn(self.tables(), stride=max(1, -(-self.num_rows // most)))


def drawn(tables: Iterator[pa.Table], *, stride: int) -> pa.Table:
    """Every row whose number is a multiple of `stride`."""
    found, num_before = [], 0
    for table in tables:
        places = np.arange(-num_before % stride, table.num_rows, stride)
        found.append(table.take(pa.array(places)))
        num_before += table.num_rows
    return pa.concat_tables(found)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The batches of streamed rows; with `num_lanes` the same ones for any number of workers up to so many."""

    rows: Streamed
    columns: tuple[Column, ...]
    preparation: Preparation
    num_lanes: int

    def num_batches(self, batch_rows: int) -> int:
        """How many batches of about so many rows an epoch has."""
        return epoch_windows.num_batches(self.rows.pieces, batch_rows, num_lanes=self.num_lanes)

    def shares(self, *, seeds: Sequence[int], batch_rows: int, first_step: int = 0) -> Iterator[tuple[int, Share]]:
        """Number and share of each batch from `first_step` on; of windows before that nothing is read."""
        lanes = tuple(range(parallel.own_rank(), self.num_lanes, parallel.num_ranks()))
        found = epoch_windows.windows(self.rows.pieces, seeds=seeds, batch_rows=batch_rows, num_lanes=self.num_lanes)
        left = [Portion(window=one, lanes=lanes) for one in found if one.first_batch + one.num_batches > first_step]
        load = Load(read=self.rows.read, columns=self.columns, preparation=self.preparation, seeds=tuple(seeds))
        tables = self.rows.deliver(left, load)
        for portion in left:
            for number, share in self._parted(portion, _gathered(tables, portion.num_rows)):
                if number >= first_step:
                    yield number, share

    def parts(self) -> Iterator[Examples]:
        """All rows in order of time, read in this process."""
        for table in self.rows.tables():
            yield Examples.of(named(table, self.columns, purpose="training"), self.preparation)

    def _parted(self, portion: Portion, table: pa.Table) -> Iterator[tuple[int, Share]]:
        window = portion.window
        num_ranks = parallel.num_ranks()
        of_ranks = np.stack([window.batch_sizes(range(rank, self.num_lanes, num_ranks)) for rank in range(num_ranks)])
        sizes = window.batch_sizes(portion.lanes)
        examples, ends = _examples(table, self.preparation), [0, *np.cumsum(sizes).tolist()]
        for number, (size, rows_by_rank) in enumerate(zip(sizes.tolist(), of_ranks.T, strict=True)):
            total = int(rows_by_rank.sum())
            share = Share(
                block=examples,
                start=ends[number],
                ends=ends[number + 1 :],
                weight=size * num_ranks / total,
                num_rows_of_all=total,
                fewest_rows=int(rows_by_rank.min()),
            )
            yield window.first_batch + number, share


def _gathered(tables: Iterator[pa.Table], num_rows: int) -> pa.Table:
    """The next tables that have so many rows together."""
    found: list[pa.Table] = []
    num_found = 0
    while num_found < num_rows and (table := next(tables, None)) is not None:
        found.append(table)
        num_found += table.num_rows
    if num_found != num_rows:
        raise TrainingError(f"Of {num_rows:,} rows of a window {num_found:,} came; start the run again.")
    return pa.concat_tables(found).combine_chunks()


def _examples(table: pa.Table, preparation: Preparation) -> Examples:
    origin = Origin(rows=table.select([KEY, EVENT_AT]), preparation=preparation)
    labels = table[LABEL].to_numpy()
    names = [name for name in table.column_names if name not in (KEY, EVENT_AT, LABEL)]
    batch: Prepared = {name: _to_numpy(table[name]) for name in names}
    return Examples(batch=batch, labels=labels, positions=np.arange(table.num_rows), origin=origin)


def _to_numpy(values: pa.ChunkedArray) -> NDArray[np.generic]:
    """Copied, as `encode` may write to what it is given; but not vectors, which are large and may be read alone."""
    if not pa.types.is_fixed_size_list(values.type):
        return np.array(values.to_numpy())
    flat = values.combine_chunks().flatten().to_numpy()
    kept = flat if flat.dtype == np.float32 else np.array(flat)
    return np.asarray(kept).reshape(len(values), values.type.list_size)
