"""Rows by due date: which rows may be learned from and judged by at a moment, composed of lake and outcomes.

A row counts only once it is due: rows whose label merely arrived early are a biased sample
(`docs/decisions.md`, matured cohorts).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Column
from heliostat.declared.revisions import backfilled, renamed_since
from heliostat.errors import TrainingError
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema, raw_schema
from heliostat.tasks import BINARY, Task
from heliostat.watch import outcomes
from heliostat.watch.awaited import Awaited
from heliostat.watch.delays import Maturity, maturity_of, with_due
from heliostat.workload import Workload

INSTANT = pa.timestamp("us", tz="UTC")
INGESTED = "ingest"  # who told the labels that came with their rows
DELAY_HISTORY, NUM_DELAY_DAYS, NUM_DELAY_ROWS = timedelta(days=180), 30, 2000


def joined(  # noqa: PLR0913 (a span of two tables, as it was known once)
    lake: Lake,
    name: str,
    columns: Sequence[Column],
    *,
    since: datetime,
    until: datetime,
    known_by: datetime,
    versions: Mapping[str, int] | None = None,
    shut_out: Sequence[Mapping[str, str]] = (),
    task: Task = BINARY,
    labels_until: date | None = None,
) -> pa.Table:
    """Predictions with `since` <= event_at < `until`, each with its label as it was known by `known_by` (or null).

    Labels that a source told in a span that `shut_out` names (source, since, until) count as not told. With
    `labels_until` those of later days are not read: a label that names an id lies on the day inside it.
    """
    pinned = versions or {}
    days = [("event_date", ">=", since.date()), ("event_date", "<=", until.date())]
    predictions = lake.read(
        name, "predictions", where=days, version=pinned.get("predictions"), schema=prediction_schema(columns, task=task)
    )
    told = [("event_date", ">=", since.date())]
    if labels_until is not None:
        told.append(("event_date", "<=", labels_until))
    labels = lake.read(name, "labels", where=told, version=pinned.get("labels"), schema=label_schema())
    kept = without(labels, shut_out)
    return outcomes.join(_between(predictions, "event_at", since, until), kept, known_by=known_by).table


def without(labels: pa.Table, shut_out: Sequence[Mapping[str, str]]) -> pa.Table:
    """The labels that no source told in a span which is shut out."""
    if not shut_out:
        return labels
    sources = pc.fill_null(labels["source"], "unknown")
    is_out = np.zeros(labels.num_rows, bool)
    for source in {span["source"] for span in shut_out}:
        is_told = np.asarray(pc.equal(sources, source).to_numpy(), bool)
        is_out |= is_told & _inside(labels["received_at"], shut_out, source=source)
    return labels.filter(pa.array(~is_out))


def _without_ingested(raw: pa.Table, shut_out: Sequence[Mapping[str, str]]) -> pa.Table:
    """The ingested rows whose label did not become known in a span which is shut out for them."""
    if not any(span["source"] == INGESTED for span in shut_out):
        return raw
    return raw.filter(pa.array(~_inside(raw["label_known_at"], shut_out, source=INGESTED)))


def _inside(instants: pa.ChunkedArray, shut_out: Sequence[Mapping[str, str]], *, source: str) -> NDArray[np.bool_]:
    """Which instants lie in a span of the source; spans may overlap, and null lies in none."""
    told = sorted((span["since"], span["until"]) for span in shut_out if span["source"] == source)
    bounds = np.array([[_micros(since), _micros(until)] for since, until in told], np.int64)
    begins, ends = bounds[np.argsort(bounds[:, 0], kind="stable")].T
    at = np.asarray(instants.cast(INSTANT).cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy(), np.int64)
    place = np.searchsorted(begins, at, side="right") - 1
    # Of all spans that have begun by then, the one that lasts longest decides.
    return np.asarray((place >= 0) & (at < np.maximum.accumulate(ends)[place]), np.bool_)


def _micros(instant: str) -> int:
    return (datetime.fromisoformat(instant) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def due(
    lake: Lake,
    name: str,
    columns: Sequence[Column],
    *,
    since: datetime,
    until: datetime,
    longest_due: timedelta,
    shut_out: Sequence[Mapping[str, str]] = (),
    task: Task = BINARY,
) -> pa.Table:
    """Predictions whose outcome fell due in the span, each with its label as known at its end (or null).

    `longest_due` bounds the time from an event to its due time, so that only the days that matter are read; of those,
    only rows that fell due are held. Labels are looked for on the days inside the ids, one day after the other; those
    that are `shut_out` count as not told.
    """
    days = [("event_date", ">=", (since - longest_due).date()), ("event_date", "<=", until.date())]
    fell_due = [("due_at", ">=", since), ("due_at", "<", until)]
    rows = lake.read(name, "predictions", where=[*days, *fell_due], schema=prediction_schema(columns, task=task))
    return labelled(lake, name, rows, known_by=until, shut_out=shut_out)


def matured(
    lake: Lake,
    name: str,
    columns: Sequence[Column],
    *,
    since: datetime,
    until: datetime,
    before: Awaited,
    after: Awaited,
    shut_out: Sequence[Mapping[str, str]] = (),
    task: Task = BINARY,
) -> pa.Table:
    """Predictions that matured in the span, each with its label as known at its end (or null).

    They fell due, or had no due time and waited for long enough: their events lie between `undated_since` of `before`
    and of `after`.
    """
    longest = before.longest_due
    dated = due(lake, name, columns, since=since, until=until, longest_due=longest, shut_out=shut_out, task=task)
    if before.undated_since is None or after.undated_since is None:
        return dated
    where = [
        ("event_date", ">=", before.undated_since.date()),
        ("event_date", "<=", after.undated_since.date()),
        ("event_at", ">=", before.undated_since),
        ("event_at", "<", after.undated_since),
        ("due_at", "is", None),
    ]
    rows = lake.read(name, "predictions", where=where, schema=prediction_schema(columns, task=task))
    undated = labelled(lake, name, rows, known_by=until, shut_out=shut_out)
    place = undated.schema.get_field_index("matures_at")
    at = pa.chunked_array([pa.array([since] * undated.num_rows, INSTANT)])
    return pa.concat_tables([dated, undated.set_column(place, "matures_at", at)])


def labelled(
    lake: Lake,
    name: str,
    rows: pa.Table,
    *,
    known_by: datetime,
    shut_out: Sequence[Mapping[str, str]] = (),
) -> pa.Table:
    """The predictions, each with its label as known by then (or null); those that are `shut_out` count as not told.

    A label that names an id lies on the day inside it. One that names a key may be of any day's prediction, so where
    there are such labels all days are joined at once.
    """
    days = sorted(pc.unique(rows["event_at"].cast(pa.date32())).to_pylist())
    if not days:
        return outcomes.join(rows, label_schema().empty_table(), known_by=known_by).table
    by_key = [("event_date", ">=", days[0]), ("id", "is", None)]
    keyed = lake.read(name, "labels", where=by_key, schema=label_schema())
    if keyed.num_rows:
        labels = without(pa.concat_tables([keyed, *(_labels_on(lake, name, day) for day in days)]), shut_out)
        return outcomes.join(rows, labels, known_by=known_by).table
    event_dates = rows["event_at"].cast(pa.date32())
    parts = (
        outcomes.join(
            rows.filter(pc.equal(event_dates, day)),
            without(_labels_on(lake, name, day), shut_out),
            known_by=known_by,
        ).table
        for day in days
    )
    return pa.concat_tables(parts)


def _labels_on(lake: Lake, name: str, day: date) -> pa.Table:
    """The labels that name an id of the day."""
    labels = lake.read(name, "labels", where=[("event_date", "=", day)], schema=label_schema())
    return labels.filter(pc.is_valid(labels["id"]))


def label_delays(lake: Lake, name: str, *, as_of: datetime) -> Maturity | None:
    """When predictions without a due time mature, by the delays of those of the last half year; None: not known yet.

    Looked at are so many days at even distances, and of each so many rows at even distances.
    """
    step = DELAY_HISTORY / NUM_DELAY_DAYS
    days = sorted({(as_of - place * step).date() for place in range(NUM_DELAY_DAYS)})
    parts: list[pa.Table] = []
    for day in days:
        where = [("event_date", "=", day), ("event_at", "<", as_of), ("due_at", "is", None)]
        rows = lake.read(name, "predictions", where=where, schema=prediction_schema(())).sort_by("id")
        stride = max(1, -(-rows.num_rows // NUM_DELAY_ROWS))
        parts.append(rows.take(pa.array(range(0, rows.num_rows, stride), pa.int64())))
    return maturity_of(labelled(lake, name, pa.concat_tables(parts), known_by=as_of), as_of=as_of)


def training_rows(
    lake: Lake,
    workload: Workload,
    *,
    as_of: datetime,
    versions: Mapping[str, int] | None = None,
    shut_out: Sequence[Mapping[str, str]] = (),
    days: tuple[date, date] | None = None,
) -> pa.Table:
    """Every labelled row that was due and known before `as_of`, by event time: key, event_at, label, columns.

    From raw and, for what was answered since, from predictions with their labels. `versions` pins table versions.
    With `days` only rows with events from the first to the last of them: not for labels that name keys, which may be of
    any day.
    Columns that a row is older than hold what the workload's earlier revisions say of them.
    """
    columns = _of_all_times(workload)
    names = ["key", "event_at", "due_at", "label", "label_known_at", *(column.name for column in columns)]
    pinned = versions or {}
    as_of = as_of.astimezone(UTC)  # days, by which tables are parted, are those of UTC
    first, last = days or (date(1970, 1, 1), as_of.date())
    where = [("event_date", ">=", first), ("event_date", "<=", last)] if days else []
    raw = lake.read(workload.name, "raw", where=where, version=pinned.get("raw"), schema=raw_schema(columns))
    answered_rows = joined(
        lake,
        workload.name,
        columns,
        since=datetime.combine(first, time(), UTC),
        # The last day of all dates has no day after it.
        until=as_of if last >= as_of.date() else datetime.combine(last + timedelta(days=1), time(), UTC),
        labels_until=last if days else None,
        known_by=as_of,
        versions=versions,
        shut_out=shut_out,
        task=workload.task,
    )
    raw = _without_ingested(raw, shut_out)
    rows = with_due(pa.concat_tables([raw.select(names), answered_rows.select(names)]), as_of=as_of)
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
    rows = joined(
        lake, workload.name, workload.logged_columns, since=since, until=end, known_by=end, task=workload.task
    )
    return rows.filter(pc.is_valid(rows["label"])).sort_by([("event_at", "ascending"), ("key", "ascending")])


def holdout_since(newest_at: datetime | None, span: timedelta) -> datetime:
    """Where the hold-out starts: the newest row that is due, less `span`; labels come late, so rows are the measure."""
    if newest_at is None:
        raise TrainingError(
            "No row has a label that was due and known by then, so nothing can be learned or judged. "
            "Ingest more, or choose a later instant."
        )
    return newest_at - span


def parted(rows: pa.Table, *, at: datetime) -> tuple[pa.Table, pa.Table]:
    """(rows before `at`, rows from `at` on), by event time."""
    before = pc.less(rows["event_at"], pa.scalar(at, INSTANT))
    return rows.filter(before), rows.filter(pc.invert(before))


def _between(rows: pa.Table, column: str, since: datetime, until: datetime) -> pa.Table:
    inside = pc.and_(
        pc.greater_equal(rows[column], pa.scalar(since, INSTANT)), pc.less(rows[column], pa.scalar(until, INSTANT))
    )
    return rows.filter(pc.fill_null(inside, False))
