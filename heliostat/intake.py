"""From a source's table to raw rows: one naming, the contract checked, nothing known later than `until`."""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import normalise, split
from heliostat.errors import ContractError
from heliostat.workload import Workload

INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Rows that keep the contract, and rows that do not with their `reason`; together every row of the span."""

    good: pa.Table
    rejected: pa.Table


def take(workload: Workload, table: pa.Table, *, since: datetime | None, until: datetime) -> Intake:
    """The rows of `table` with `since` <= event time < `until`, as they were known at `until`.

    A label that becomes known at `until` or later is null: it would be the future. Columns of both results:
    key, event_at, due_at, label, label_known_at and the declared columns; `rejected` has `reason` too.
    """
    named = _within(_rename(workload, table), since=since, until=until)
    known = pc.fill_null(pc.less(named["label_known_at"], pa.scalar(until, INSTANT)), False)
    for column, kind in (("label", pa.float64()), ("label_known_at", INSTANT)):
        hidden = pc.if_else(known, named[column], pa.scalar(None, kind))
        named = named.set_column(named.schema.get_field_index(column), column, hidden)
    good, rejected = split(named, workload.columns)
    return Intake(good=good, rejected=rejected)


def _rename(workload: Workload, table: pa.Table) -> pa.Table:
    wanted = {
        "key": (workload.key, pa.string()),
        "event_at": (workload.event_time, INSTANT),
        "due_at": (workload.due_time, INSTANT),
        "label": (workload.label.name, pa.float64()),
        "label_known_at": (workload.label_time, INSTANT),
    }
    missing = sorted(name for name, _ in wanted.values() if name not in table.column_names)
    if missing:
        raise ContractError(
            f"The source of {workload.name!r} lacks {', '.join(missing)}; it has {', '.join(table.column_names)}. "
            "Correct the names in the workload, or add the columns in the source."
        )
    identity = {ours: table[theirs].cast(kind) for ours, (theirs, kind) in wanted.items()}
    inputs = normalise(table, workload.columns)
    return pa.table({**identity, **{name: inputs[name] for name in inputs.column_names}})


def _within(table: pa.Table, *, since: datetime | None, until: datetime) -> pa.Table:
    mask = pc.less(table["event_at"], pa.scalar(until, INSTANT))
    if since is not None:
        mask = pc.and_(mask, pc.greater_equal(table["event_at"], pa.scalar(since, INSTANT)))
    return table.filter(mask)
