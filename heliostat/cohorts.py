"""Rows by due date: which rows may be learned from and judged by at a moment, composed of lake and outcomes.

A row counts only once it is due: rows whose label merely arrived early are a biased sample
(`docs/decisions.md`, matured cohorts).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import Column
from heliostat.declared.revisions import backfilled, renamed_since
from heliostat.errors import TrainingError
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema, raw_schema
from heliostat.watch import outcomes
from heliostat.workload import Workload

INSTANT = pa.timestamp("us", tz="UTC")


def joined(
    lake: Lake,
    name: str,
    columns: Sequence[Column],
    *,
    since: datetime,
    until: datetime,
    known_by: datetime,
    versions: Mapping[str, int] | None = None,
    shut_out: Sequence[Mapping[str, str]] = (),
) -> pa.Table:
    """Predictions with `since` <= event_at < `until`, each with its label as it was known by `known_by` (or null).

    Labels that a source told in a span that `shut_out` names (source, since, until) count as not told.
    """
    pinned = versions or {}
    days = [("event_date", ">=", since.date()), ("event_date", "<=", until.date())]
    predictions = lake.read(
        name, "predictions", where=days, version=pinned.get("predictions"), schema=prediction_schema(columns)
    )
    labels = lake.read(
        name, "labels", where=[("event_date", ">=", since.date())], version=pinned.get("labels"), schema=label_schema()
    )
    kept = without(labels, shut_out)
    return outcomes.join(_between(predictions, "event_at", since, until), kept, known_by=known_by).table


def without(labels: pa.Table, shut_out: Sequence[Mapping[str, str]]) -> pa.Table:
    """The labels that no source told in a span which is shut out."""
    for span in shut_out:
        since, until = (pa.scalar(datetime.fromisoformat(span[name]), INSTANT) for name in ("since", "until"))
        arrived = pc.and_(pc.greater_equal(labels["received_at"], since), pc.less(labels["received_at"], until))
        is_out = pc.and_(pc.equal(pc.fill_null(labels["source"], "unknown"), span["source"]), arrived)
        labels = labels.filter(pc.invert(pc.fill_null(is_out, False)))
    return labels


def due(
    lake: Lake,
    name: str,
    columns: Sequence[Column],
    *,
    since: datetime,
    until: datetime,
    longest_due: timedelta,
) -> pa.Table:
    """Predictions whose outcome fell due in the span, each with its label as known at its end (or null).

    `longest_due` bounds the time from an event to its due time, so that only the days that matter are read.
    """
    first = (since - longest_due).date()
    days = [("event_date", ">=", first), ("event_date", "<=", until.date())]
    predictions = lake.read(name, "predictions", where=days, schema=prediction_schema(columns))
    labels = lake.read(name, "labels", where=[("event_date", ">=", first)], schema=label_schema())
    return outcomes.join(_between(predictions, "due_at", since, until), labels, known_by=until).table


def training_rows(
    lake: Lake,
    workload: Workload,
    *,
    as_of: datetime,
    versions: Mapping[str, int] | None = None,
    shut_out: Sequence[Mapping[str, str]] = (),
) -> pa.Table:
    """Every labelled row that was due and known before `as_of`, by event time: key, event_at, label, columns.

    From raw and, for what was answered since, from predictions with their labels. `versions` pins table versions.
    Columns that a row is older than hold what the workload's earlier revisions say of them.
    """
    columns = _of_all_times(workload)
    names = ["key", "event_at", "due_at", "label", "label_known_at", *(column.name for column in columns)]
    pinned = versions or {}
    raw = lake.read(workload.name, "raw", version=pinned.get("raw"), schema=raw_schema(columns))
    answered_rows = joined(
        lake,
        workload.name,
        columns,
        since=datetime(1970, 1, 1, tzinfo=as_of.tzinfo),
        until=as_of,
        known_by=as_of,
        versions=versions,
        shut_out=shut_out,
    )
    rows = pa.concat_tables([raw.select(names), answered_rows.select(names)])
    moment = pa.scalar(as_of, INSTANT)
    due = pc.and_(pc.less_equal(rows["due_at"], moment), pc.less_equal(rows["label_known_at"], moment))
    usable = pc.and_(pc.fill_null(due, False), pc.is_valid(rows["label"]))
    rows = rows.filter(usable).sort_by([("event_at", "ascending"), ("key", "ascending")])
    rows = backfilled(rows, workload.columns, workload.earlier)
    return rows.select([name for name in names if name not in renamed_since(workload.earlier)])


def _of_all_times(workload: Workload) -> tuple[Column, ...]:
    """The logged columns, and those that were called differently when old rows were stored."""
    logged = workload.logged_columns
    known = {column.name for column in logged}
    old = {c.name: c for each in workload.earlier for c in each.columns if c.name not in known}
    return (*logged, *old.values())


def history(lake: Lake, workload: Workload, *, before: datetime) -> pa.Table:
    """Raw rows with a label that was known before `before`."""
    return training_rows(lake, workload, as_of=before)


def answered(lake: Lake, workload: Workload, *, since: datetime) -> pa.Table:
    """Every answered row since `since` that has a label by now."""
    end = datetime(2200, 1, 1, tzinfo=since.tzinfo)
    rows = joined(lake, workload.name, workload.logged_columns, since=since, until=end, known_by=end)
    return rows.filter(pc.is_valid(rows["label"])).sort_by([("event_at", "ascending"), ("key", "ascending")])


def holdout_since(rows: pa.Table, span: timedelta) -> datetime:
    """Where the hold-out starts: the newest row that is due, less `span`; labels come late, so rows are the measure."""
    newest = pc.max(rows["event_at"]).as_py()
    if newest is None:
        raise TrainingError(
            "No row has a label that was due and known by then, so nothing can be learned or judged. "
            "Ingest more, or choose a later instant."
        )
    return cast(datetime, newest) - span


def parted(rows: pa.Table, *, at: datetime) -> tuple[pa.Table, pa.Table]:
    """(rows before `at`, rows from `at` on), by event time."""
    before = pc.less(rows["event_at"], pa.scalar(at, INSTANT))
    return rows.filter(before), rows.filter(pc.invert(before))


def _between(rows: pa.Table, column: str, since: datetime, until: datetime) -> pa.Table:
    inside = pc.and_(
        pc.greater_equal(rows[column], pa.scalar(since, INSTANT)), pc.less(rows[column], pa.scalar(until, INSTANT))
    )
    return rows.filter(pc.fill_null(inside, False))
