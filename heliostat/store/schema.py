"""The columns of the lake's tables, one function a table."""

from collections.abc import Sequence

import pyarrow as pa

from heliostat.columns import Column
from heliostat.errors import WorkloadError
from heliostat.tasks import BINARY, Task

INSTANT = pa.timestamp("us", tz="UTC")
PARTITION = "event_date"

RAW, REJECTED, PREDICTIONS, SHADOWS, LABELS = "raw", "rejected", "predictions", "shadows", "labels"

_DATE = pa.field(PARTITION, pa.date32())
# Which Delta application transaction wrote the row: what a reader that follows the table goes on from.
_COMMIT = [pa.field("stream", pa.string()), pa.field("sequence", pa.int64()), _DATE]
_RAW = [
    pa.field("key", pa.string()),
    pa.field("event_at", INSTANT),
    pa.field("due_at", INSTANT),
    pa.field("label", pa.float64()),
    pa.field("label_known_at", INSTANT),
]
_PREDICTION = [
    pa.field("id", pa.string()),
    pa.field("request_id", pa.string()),
    pa.field("row", pa.int32()),
    pa.field("key", pa.string()),
    pa.field("event_at", INSTANT),
    pa.field("due_at", INSTANT),
    pa.field("received_at", INSTANT),
    pa.field("revision", pa.int32()),
    pa.field("version", pa.int32()),
    pa.field("arm", pa.string()),
    pa.field("degraded", pa.bool_()),
    *BINARY.stored,
    pa.field("latency_ms", pa.float32()),
    pa.field("answered_with", pa.string()),
]
_SHADOW = [
    pa.field("id", pa.string()),
    pa.field("event_at", INSTANT),
    pa.field("version", pa.int32()),
    *BINARY.stored,
    pa.field("error", pa.string()),
    pa.field("latency_ms", pa.float32()),
    pa.field("answer_latency_ms", pa.float32()),
    pa.field("batch_rows", pa.int32()),
]
_LABEL = [
    pa.field("id", pa.string()),
    pa.field("key", pa.string()),
    pa.field("value", pa.float64()),
    pa.field("known_at", INSTANT),
    pa.field("received_at", INSTANT),
    pa.field("source", pa.string()),
]
RESERVED = frozenset({field.name for field in (*_RAW, *_PREDICTION, *_LABEL, *_COMMIT)} | {"probabilities"})


def raw_schema(columns: Sequence[Column]) -> pa.Schema:
    """Rows as ingested: who, when, the label if it is known yet, and the declared columns."""
    return pa.schema([*_RAW, *_declared(columns), _DATE])


def rejected_schema() -> pa.Schema:
    """Rows that break the contract: the reason, and the row as JSON."""
    return pa.schema(
        [
            pa.field("key", pa.string()),
            pa.field("event_at", INSTANT),
            pa.field("reason", pa.string()),
            pa.field("row", pa.string()),
            _DATE,
        ]
    )


def prediction_schema(columns: Sequence[Column], *, task: Task = BINARY, with_commit: bool = True) -> pa.Schema:
    """What was asked and answered, by the kind of label; without the commit columns it is what a segment holds."""
    return pa.schema([*_of_kind(_PREDICTION, task), *_declared(columns, task), *(_COMMIT if with_commit else [])])


def shadow_schema(*, task: Task = BINARY, with_commit: bool = True) -> pa.Schema:
    """What another version says to an answered row: its answer, or null and the error.

    The latencies are of the models alone, for the `batch_rows` rows that were asked together: of this version, and of
    the one that answered.
    """
    return pa.schema([*_of_kind(_SHADOW, task), *(_COMMIT if with_commit else [])])


def label_schema(*, with_commit: bool = True) -> pa.Schema:
    """What became known later; without the commit columns it is what a segment holds."""
    return pa.schema([*_LABEL, *(_COMMIT if with_commit else [])])


def _of_kind(fields: Sequence[pa.Field], task: Task) -> list[pa.Field]:
    """The fields with the task's answers where those of two values stand."""
    place = next(number for number, field in enumerate(fields) if field.name == BINARY.stored[0].name)
    return [*fields[:place], *task.stored, *fields[place + len(BINARY.stored) :]]


def _declared(columns: Sequence[Column], task: Task = BINARY) -> list[pa.Field]:
    reserved = RESERVED | {field.name for field in task.stored}
    taken = sorted({column.name for column in columns} & reserved)
    if taken:
        raise WorkloadError(
            f"The columns {', '.join(taken)} have names that the lake's tables use themselves; "
            f"rename them in the source. Taken are: {', '.join(sorted(reserved))}."
        )
    return [pa.field(column.name, column.arrow_type) for column in columns]


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns of `schema`, in its order and types; an absent column becomes null."""
    arrays = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
