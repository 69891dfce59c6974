"""Which rows of a table a version can answer: the contract of a request, cell by cell, and reasons instead of refusals.

A request with one bad cell is refused; of a table with a million rows the bad ones are put aside.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Column, Number, normalise, split, violations
from heliostat.errors import ContractError
from heliostat.event_times import INSTANT, instants_of
from heliostat.workload import Workload

REJECTED = pa.schema([("part", pa.int32()), ("row", pa.int64()), ("reason", pa.string()), ("values", pa.string())])
# What stands beside a row's own columns while it is checked; the names cannot be those of declared columns.
_ROW, _KEY, _EVENT_AT = "\0row", "\0key", "\0event_at"
_EPOCH_US, _END_US = 0, 253_402_300_799_000_000


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a table calls a row's key and event time; None where it has no such column."""

    key: str | None
    event_time: str | None

    @classmethod
    def of(cls, workload: Workload, present: Sequence[str]) -> "Names":
        """The workload's own names first, then those that requests and the lake use."""
        declared = {column.name for column in workload.columns}
        usable = [name for name in present if name not in declared]
        return cls(
            key=next((name for name in (workload.key, "key") if name in usable), None),
            event_time=next((n for n in (workload.event_time, "event_time", "event_at") if n in usable), None),
        )


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """The rows that can be answered, and those that cannot with their reasons; together every row."""

    inputs: pa.Table
    """Normalised: the declared columns, in declared order."""
    rows: NDArray[np.int64]
    """The place of each admitted row in the table."""
    keys: pa.Array
    """Text, null where the row has none."""
    event_at: pa.Array
    """Timestamps in microseconds, never null."""
    rejected: pa.Table
    """Of schema REJECTED, but for its part: row, reason, and the row's values as JSON."""

    def without(self, table: pa.Table, reason_by_row: Mapping[int, str], *, kept: NDArray[np.int64]) -> "Admitted":
        """The same with these rows of the table rejected, too; `kept` are the places of the others among the inputs."""
        reasons = _Reasons(table.num_rows)
        reasons.add(list(reason_by_row), list(reason_by_row.values()))
        return Admitted(
            inputs=self.inputs.take(pa.array(kept)),
            rows=self.rows[kept],
            keys=self.keys.take(pa.array(kept)),
            event_at=self.event_at.take(pa.array(kept)),
            rejected=pa.concat_tables([self.rejected, _rejected(table, reasons)]).sort_by("row"),
        )


def admit(workload: Workload, table: pa.Table, *, columns: Sequence[Column], default_event_at: datetime) -> Admitted:
    """Every row is either admitted or rejected with a reason; ContractError when a column is missing altogether.

    `columns` are those of the version that will answer. `default_event_at` stands where a row has no event time.
    """
    names = Names.of(workload, table.column_names)
    reasons = _Reasons(table.num_rows)
    arrays = {column.name: _cells(table, column, reasons) for column in columns if column.name in table.column_names}
    event_at = _event_at(table, names.event_time, reasons, default=default_event_at)
    keys = pa.nulls(table.num_rows, pa.string()) if names.key is None else _texts(table, names.key)
    arrays[_ROW], arrays[_KEY], arrays[_EVENT_AT] = pa.array(np.arange(table.num_rows)), keys, event_at
    readable = pa.table(arrays)
    if reasons.by_row:
        readable = readable.filter(reasons.is_clean)
    good, inputs = readable, normalise(readable, columns)
    # Nearly every piece has no bad row, and copying it would cost more than looking at it.
    if violations(inputs, columns):
        good, broken = split(readable, columns)
        reasons.add(broken[_ROW].to_pylist(), broken["reason"].to_pylist())
        inputs = normalise(good, columns)
    return Admitted(
        inputs=inputs,
        rows=good[_ROW].to_numpy(),
        keys=good[_KEY].combine_chunks(),
        event_at=good[_EVENT_AT].combine_chunks(),
        rejected=_rejected(table, reasons),
    )


class _Reasons:
    """Why rows cannot be answered, by their place."""

    def __init__(self, num_rows: int) -> None:
        self.by_row: dict[int, list[str]] = {}
        self._num_rows = num_rows

    @property
    def is_clean(self) -> pa.Array:
        """True for each row without a reason."""
        clean = np.ones(self._num_rows, dtype=bool)
        clean[list(self.by_row)] = False
        return pa.array(clean)

    def add(self, rows: Sequence[int], reasons: Sequence[str]) -> None:
        """One more reason for each of these rows."""
        for row, reason in zip(rows, reasons, strict=True):
            self.by_row.setdefault(row, []).append(reason)


def _cells(table: pa.Table, column: Column, reasons: _Reasons) -> pa.ChunkedArray:
    values = table.column(column.name)
    if not isinstance(column, Number) or not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return normalise(pa.table({column.name: values}), [column]).column(0)
    # A file of text has numbers as text; one cell that is none must not take its whole column down.
    return _parsed(values, column.arrow_type, reasons, what=f"{column.name} must be a number")


def _parsed(values: pa.ChunkedArray, kind: pa.DataType, reasons: _Reasons, *, what: str) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(values)
    trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    try:
        return trimmed.cast(kind)
    except pa.ArrowInvalid:
        return pa.chunked_array([_parsed_one_by_one(trimmed, kind, reasons, what=what)])


def _parsed_one_by_one(values: pa.ChunkedArray, kind: pa.DataType, reasons: _Reasons, *, what: str) -> pa.Array:
    distinct = pc.unique(values)
    known = {text: _parsed_text(text, kind) for text in distinct.to_pylist() if text is not None}
    bad = {text for text, value in known.items() if value is None}
    texts = values.to_pylist()
    broken = [row for row, text in enumerate(texts) if text in bad]
    reasons.add(broken, [f"{what}; got {texts[row]!r:.80}" for row in broken])
    return pa.array([None if text is None else known[text] for text in texts], kind)


def _parsed_text(text: str, kind: pa.DataType) -> object | None:
    try:
        return pa.scalar(text).cast(kind).as_py()  # type: ignore[no-any-return]
    except pa.ArrowInvalid:
        return None


def _event_at(table: pa.Table, name: str | None, reasons: _Reasons, *, default: datetime) -> pa.ChunkedArray:
    if name is None:
        return pa.chunked_array([pa.repeat(pa.scalar(default, INSTANT), table.num_rows)])
    values = table.column(name)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        cast = _parsed(values, INSTANT, reasons, what=f"{name} must be an instant")
    else:
        cast = instants_of(values, name=name)
    microseconds = cast.cast(pa.int64())
    outside = pc.or_(pc.less(microseconds, _EPOCH_US), pc.greater(microseconds, _END_US))
    rows = np.flatnonzero(pc.fill_null(outside, False).to_numpy()).tolist()
    reasons.add(rows, [f"{name} must lie from 1970 to 9999"] * len(rows))
    return pc.fill_null(cast, pa.scalar(default, INSTANT))


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    try:
        return table.column(name).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(f"Column {name!r} must hold keys as text; got {table.column(name).type}.") from error


def _rejected(table: pa.Table, reasons: _Reasons) -> pa.Table:
    places = sorted(reasons.by_row)
    values = table.take(pa.array(places, pa.int64())).to_pylist()
    columns = {
        "row": places,
        "reason": ["; ".join(reasons.by_row[place]) for place in places],
        "values": [json.dumps(row, default=str) for row in values],
    }
    return pa.table(columns, schema=pa.schema([REJECTED.field(name) for name in columns]))
