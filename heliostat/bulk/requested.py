"""Rows of a long request: read as those of a short one are, but a bad row is put aside instead of refusing all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from heliostat.columns import Column
from heliostat.errors import ContractError
from heliostat.serving.problem import GoneError, MalformedError
from heliostat.serving.revisions import Revisions
from heliostat.serving.rows import Cells, Defaults, RowReader, Rows

ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows that follow each other in the request, the first of them number `start`."""

    start: int
    rows: Rows


@dataclass
class Aside:
    """The rows that break the contract, by their number in the request; ContractError when they are too many."""

    max_rows: int
    reason_by_row: dict[int, str] = field(default_factory=dict)

    def put(self, row: int, reason: str) -> None:
        """The row gets no answer, for that reason."""
        self.reason_by_row[row] = reason
        if len(self.reason_by_row) > self.max_rows:
            first = min(self.reason_by_row)
            raise ContractError(
                f"More than {self.max_rows} rows break the contract, so nothing was answered; the first is row "
                f"{first}: {self.reason_by_row[first]}"
            )


@dataclass(frozen=True, kw_only=True)
class RequestReader:
    """Reads one long request; keys and times that a row does not say follow from the request and the row's number.

    `revision` is the contract revision that was named; None: the newest that the rows keep, span by span.
    """

    revisions: Revisions
    revision: int | None
    by: str
    request_id: str
    received_at: datetime
    aside: Aside

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
        """Pieces of a list of objects, in order, without the bad ones."""

        def read(start: int, end: int, defaults: Defaults) -> Rows:
            return self._under(lambda reader: reader.from_rows(rows[start:end], defaults))

        return self._pieces(len(rows), 0, read)

    def columns(self, table: pa.Table, *, start: int = 0, others_are_fine: bool = False) -> Iterator[Piece]:
        """Pieces of columns whose first row is number `start`, in order, without the bad ones.

        With `others_are_fine` columns that a revision does not declare are left out, instead of refused.
        """
        arrays = {name: _one(table.column(name)) for name in table.column_names}

        def read(first: int, end: int, defaults: Defaults) -> Rows:
            cells: dict[str, Cells] = {name: array.slice(first, end - first) for name, array in arrays.items()}

            def known(reader: RowReader) -> dict[str, Cells]:
                return {name: cell for name, cell in cells.items() if not others_are_fine or name in reader.names}

            return self._under(lambda reader: reader.from_columns(known(reader), defaults))

        return self._pieces(table.num_rows, start, read)

    def _under(self, read: Callable[[RowReader], Rows]) -> Rows:
        named = None if self.revision is None else str(self.revision)
        return self.revisions.read(read, named=named, at=self.received_at, by=self.by)

    def _pieces(self, num_rows: int, offset: int, read: Callable[[int, int, Defaults], Rows]) -> Iterator[Piece]:
        for start in range(0, num_rows, ROWS_AT_ONCE):
            yield from self._halved(start, min(start + ROWS_AT_ONCE, num_rows), offset, read)

    def _halved(self, start: int, end: int, offset: int, read: Callable[[int, int, Defaults], Rows]) -> Iterator[Piece]:
        """The span at once where it is good; else each half, down to the single rows that are bad."""
        # Numbered by where it starts, so that no two rows get the same key.
        defaults = Defaults(request_id=f"{self.request_id}/{offset + start}", received_at=self.received_at)
        try:
            yield Piece(start=offset + start, rows=read(start, end, defaults))
        except (ContractError, GoneError, MalformedError) as error:
            if end - start == 1:
                self.aside.put(offset + start, str(error).removeprefix("row 0: "))
                return
            middle = (start + end) // 2
            yield from self._halved(start, middle, offset, read)
            yield from self._halved(middle, end, offset, read)


def as_table(rows: Rows, columns: Sequence[Column]) -> pa.Table:
    """The rows as the columns that a version is asked with."""
    arrays = {}
    for column in columns:
        values = rows.values_by_column[column.name]
        arrays[column.name] = values if isinstance(values, pa.Array) else pa.array(values, column.arrow_type)
    return pa.table(arrays)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
