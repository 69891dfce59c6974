"""From a source's table to raw rows: one naming, the contract checked, nothing known later than `until`."""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import normalise, split
from heliostat.errors import ContractError
from heliostat.event_times import INSTANT, instants_of
from heliostat.workload import Workload

SAID = "label as the source says it"  # for the reason alone; no column has such a name


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
    is_wrong = pc.fill_null(pc.is_inf(good["label"]), False)
    refused = _refused(workload, good.filter(is_wrong))
    rejected = pa.concat_tables([rejected.drop_columns([SAID]), refused])
    return Intake(good=good.filter(pc.invert(is_wrong)).drop_columns([SAID]), rejected=rejected)


def _refused(workload: Workload, rows: pa.Table) -> pa.Table:
    """Rows whose label is none of its kind, without it, and why."""
    reasons = [
        f"label {workload.label.name!r} must be {workload.task.allowed}; got {said!r}"
        for said in rows[SAID].to_pylist()
    ]
    place = rows.schema.get_field_index("label")
    without = rows.set_column(place, "label", pa.nulls(rows.num_rows, pa.float64())).drop_columns([SAID])
    return without.append_column("reason", pa.array(reasons, pa.string()))


def _rename(workload: Workload, table: pa.Table) -> pa.Table:
    wanted = {
        "key": (workload.key, pa.string()),
        "event_at": (workload.event_time, INSTANT),
        "label_known_at": (workload.label_time, INSTANT),
    }
    if workload.due_time is not None:
        wanted["due_at"] = (workload.due_time, INSTANT)
    label = workload.label.name
    missing = sorted(name for name in (label, *(name for name, _ in wanted.values())) if name not in table.column_names)
    if missing:
        raise ContractError(
            f"The source of {workload.name!r} lacks {', '.join(missing)}; it has {', '.join(table.column_names)}. "
            "Correct the names in the workload, or add the columns in the source."
        )
    identity = {
        ours: instants_of(table[theirs], name=theirs) if kind == INSTANT else table[theirs].cast(kind)
        for ours, (theirs, kind) in wanted.items()
    }
    if workload.due_time is None:
        identity["due_at"] = pa.chunked_array([pa.nulls(table.num_rows, INSTANT)])
    inputs = normalise(table, workload.columns)
    codes = pa.array(workload.task.codes(pa.chunked_array(table[label])), pa.float64(), from_pandas=True)
    known_at = identity.pop("label_known_at")
    named = {**identity, "label": codes, "label_known_at": known_at, SAID: pa.chunked_array(table[label])}
    return pa.table({**named, **{name: inputs[name] for name in inputs.column_names}})


def _within(table: pa.Table, *, since: datetime | None, until: datetime) -> pa.Table:
    mask = pc.less(table["event_at"], pa.scalar(until, INSTANT))
    if since is not None:
        mask = pc.and_(mask, pc.greater_equal(table["event_at"], pa.scalar(since, INSTANT)))
    return table.filter(mask)
