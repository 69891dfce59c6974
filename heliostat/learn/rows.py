"""Which rows a fit learns from, in an order that depends on nothing but the rows."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from heliostat import vectors
from heliostat.columns import Column, Vector, normalise
from heliostat.errors import TrainingError
from heliostat.workload import Workload

KEY = "key"
EVENT_AT = "event_at"
LABEL = "label"


def split_by_time(table: pa.Table, *, share: float) -> tuple[pa.Table, pa.Table]:
    """(earlier rows, the latest `share` of the rows): every row of one instant on the same side."""
    if table.num_rows < 2:
        raise TrainingError(f"{table.num_rows} rows cannot be split by time; wait for more labels.")
    instants = table[EVENT_AT].combine_chunks().sort()
    first_late = instants[min(round(len(instants) * (1 - share)), len(instants) - 1)]
    late = pc.greater_equal(table[EVENT_AT], first_late)
    earlier, later = table.filter(pc.invert(late)), table.filter(late)
    if not earlier.num_rows:
        raise TrainingError(
            f"{table.num_rows:,} rows from {instants[0]} to {instants[-1]} cannot be split by time: "
            "nearly all have the same event time. Train on a longer span."
        )
    return earlier, later


def named(table: pa.Table, columns: Sequence[Column], *, purpose: str) -> pa.Table:
    """Key, event time, label and normalised inputs of each row.

    Raises TrainingError when there are no rows, or rows without a label.
    """
    absent = [name for name in (KEY, EVENT_AT, LABEL) if name not in table.column_names]
    if absent:
        raise TrainingError(f"The {purpose} rows lack {absent}; they have {table.column_names}.")
    if not table.num_rows:
        raise TrainingError(f"There are no {purpose} rows; ingest more, or train on a longer span.")
    labels = table[LABEL].cast(pa.float64())
    if labels.null_count:
        raise TrainingError(
            f"{labels.null_count:,} of {table.num_rows:,} {purpose} rows have no label; give only rows with one."
        )
    inputs = normalise(table, columns)
    rows = pa.table({KEY: table[KEY], EVENT_AT: table[EVENT_AT], LABEL: labels})
    for name in inputs.column_names:
        rows = rows.append_column(name, inputs[name])
    return rows


def ordered(table: pa.Table, workload: Workload, *, purpose: str) -> pa.Table:
    """Key, event time, label and normalised inputs, sorted, so that the order of arrival changes nothing.

    Raises TrainingError when there are no rows, or rows without a label.
    """
    rows = named(table, workload.columns, purpose=purpose)
    # All columns: two rows that tie on every one of them are the same row, so their order cannot matter.
    lengths = {column.name: column.length for column in workload.columns if isinstance(column, Vector)}
    sorted_by = rows
    for name, length in lengths.items():
        place = sorted_by.schema.get_field_index(name)
        sorted_by = sorted_by.set_column(place, name, vectors.sort_keys(rows[name], length=length))
    order = pc.sort_indices(sorted_by, [(name, "ascending") for name in rows.column_names])
    return rows.take(order)
