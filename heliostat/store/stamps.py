"""What a row gets when it is committed: by which transaction, and the date that it is filed under."""

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

from heliostat.ids import event_time
from heliostat.store.schema import PARTITION


def stamped(rows: pa.Table, dates: pa.Array | pa.ChunkedArray, *, stream: str, sequence: int) -> pa.Table:
    """The rows with stream, sequence and event date."""
    return (
        rows.append_column("stream", pa.array([stream] * rows.num_rows, pa.string()))
        .append_column("sequence", pa.array([sequence] * rows.num_rows, pa.int64()))
        .append_column(PARTITION, dates)
    )


def event_dates(rows: pa.Table) -> pa.ChunkedArray:
    """The UTC date of each prediction's event, or of the prediction that a shadow belongs to."""
    return rows.column("event_at").cast(pa.date32())


def label_dates(labels: pa.Table) -> pa.Array:
    """The date of the prediction that a label names by id, so that both lie in one partition; else of `known_at`."""
    identifiers: Sequence[str | None] = labels.column("id").to_pylist()
    instants: Sequence[datetime] = labels.column("known_at").to_pylist()
    return pa.array([_date(*pair) for pair in zip(identifiers, instants, strict=True)], pa.date32())


def _date(identifier: str | None, known_at: datetime) -> date:
    if identifier is not None:
        try:
            return event_time(identifier).date()
        except (ValueError, OverflowError):
            # An id that is none of ours: the label is kept, and joins nothing.
            return known_at.date()
    return known_at.date()
