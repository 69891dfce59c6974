"""Past rows as live traffic: what is asked in each minute of a replayed day, and which labels come every few hours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
SPAN = timedelta(hours=3)  # labels are told together so often


@dataclass(frozen=True, kw_only=True)
class Request:
    """All rows of one minute: one call."""

    at: datetime
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class KnownLabel:
    """A label at the moment it becomes known in the world."""

    key: str
    value: float
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Span:
    """A few hours of the replayed world: first their requests, then the labels that became known by their end."""

    until: datetime
    requests: Sequence[Request]
    labels: Sequence[KnownLabel]


class Traffic:
    """The rows of one replay, handed out span by span; a label is handed out only after its row was asked.

    `table` has the columns of `intake.take(...).good`, every label included; instants are UTC.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.sort_by([("event_at", "ascending"), ("key", "ascending")])
        labelled = self._table.filter(
            pc.and_(pc.is_valid(self._table["label"]), pc.is_valid(self._table["label_known_at"]))
        )
        self._labels = labelled.select(["key", "label", "label_known_at", "event_at"]).sort_by(
            [("label_known_at", "ascending"), ("key", "ascending")]
        )
        self._label_times = self._told_at()

    @property
    def num_rows(self) -> int:
        """How many rows will be asked about."""
        return int(self._table.num_rows)

    @property
    def ends_at(self) -> datetime:
        """The end of the day in which the last label becomes known."""
        times = [self._table["event_at"][-1].as_py()]
        if self._labels.num_rows:
            times.append(pc.max(self._label_times).as_py())
        return floor(max(times), DAY) + DAY

    def _told_at(self) -> pa.ChunkedArray:
        # A label may be known before its row is asked (a source with clock errors): it waits for its row.
        known_at, asked_at = self._labels["label_known_at"], self._labels["event_at"]
        return pc.if_else(pc.less(known_at, asked_at), asked_at, known_at)

    def day(self, start: datetime) -> Iterator[Span]:
        """The spans of the 24 hours from `start`."""
        rows = _between(self._table, self._table["event_at"], start, start + DAY)
        labels = _between(self._labels, self._label_times, start, start + DAY)
        row_list = rows.drop_columns(["label", "label_known_at"]).to_pylist()
        label_list = labels.to_pylist()
        for index in range(DAY // SPAN):
            since, until = start + index * SPAN, start + (index + 1) * SPAN
            yield Span(
                until=until,
                requests=list(_by_minute(row for row in row_list if since <= row["event_at"] < until)),
                labels=[
                    KnownLabel(key=label["key"], value=label["label"], at=label["label_known_at"])
                    for label in label_list
                    if since <= max(label["label_known_at"], label["event_at"]) < until
                ],
            )


def floor(at: datetime, step: timedelta) -> datetime:
    """The last multiple of `step` (counted from midnight UTC) at or before `at`."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // step * step


def _between(table: pa.Table, times: pa.ChunkedArray, since: datetime, until: datetime) -> pa.Table:
    kind = times.type
    return table.filter(
        pc.and_(pc.greater_equal(times, pa.scalar(since, kind)), pc.less(times, pa.scalar(until, kind)))
    )


def _by_minute(rows: Iterator[dict[str, Any]]) -> Iterator[Request]:
    rows_by_minute: dict[datetime, list[dict[str, Any]]] = {}
    for row in rows:
        rows_by_minute.setdefault(floor(row["event_at"], MINUTE), []).append(row)
    for minute, minute_rows in sorted(rows_by_minute.items(), key=lambda item: item[0]):
        yield Request(at=minute, rows=minute_rows)
