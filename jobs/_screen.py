"""Screens the labels that came since the last weeks, before anybody learns from them.

Reads:  lake: raw, predictions, labels; catalog: journal, aliases; bundles: the champion
Writes: catalog: journal
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.shut_out import decided, shut_out
from heliostat.cohorts import INGESTED
from heliostat.declared.revisions import as_trained, renamed_since
from heliostat.govern.quarantine import SUSPECTED, is_new
from heliostat.govern.screen import Told, suspicions
from heliostat.learn.bundle import ServedModel
from heliostat.store.bundles import read_bundle
from heliostat.store.schema import label_schema, prediction_schema, raw_schema
from heliostat.watch.windows import EPOCH
from jobs import _entry

SPAN = timedelta(days=90)
INSTANT = pa.timestamp("us", tz="UTC")
MICROSECOND = timedelta(microseconds=1)
TOLD = pa.schema(
    [("source", pa.string()), ("arrived_at", INSTANT), ("contradicts", pa.bool_()), ("expected", "double")]
)


def screened(job: _entry.Job, *, as_of: datetime) -> list[dict[str, str]]:
    """Sources and spans whose labels are not learned from: those found now, told in the journal, and those before."""
    said = decided(job.catalog, job.workload.name)
    for found in suspicions(_told(job, as_of=as_of)):
        payload = found.to_json()
        if is_new(payload, said):
            print(f"labels: {found.reason}", flush=True)
            job.catalog.append(SUSPECTED, job.workload.name, payload, by=job.by, at=datetime.now(UTC))
            said.append((SUSPECTED, payload))
    return shut_out(job.catalog, job.workload.name)


def _told(job: _entry.Job, *, as_of: datetime) -> list[Told]:
    """What every source told, by window of arrival, about rows that a champion was sure of."""
    rows = pa.concat_tables([_answered(job, as_of=as_of), _ingested(job, as_of=as_of)])
    return counted(rows, span=job.workload.loop.window)


def counted(rows: pa.Table, *, span: timedelta) -> list[Told]:
    """One for each source and window of arrival, of rows that are about sure answers (columns as in TOLD)."""
    window = pc.divide(rows["arrived_at"].cast(pa.int64()), span // MICROSECOND)
    groups = rows.append_column("window", window).group_by(["source", "window"])
    found = groups.aggregate([([], "count_all"), ("contradicts", "sum"), ("expected", "mean")])
    # The windows of the monitor.
    return [
        Told(
            source=one["source"],
            since=EPOCH + one["window"] * span,
            until=EPOCH + (one["window"] + 1) * span,
            num_confident=one["count_all"],
            num_contradicting=int(one["contradicts_sum"] or 0),
            expected=one["expected_mean"],
        )
        for one in found.sort_by([("source", "ascending"), ("window", "ascending")]).to_pylist()
    ]


def _answered(job: _entry.Job, *, as_of: datetime) -> pa.Table:
    """Labels that name an id, beside the sure answers that they are about."""
    name, since, task = job.workload.name, as_of - SPAN, job.workload.task
    days = [("event_date", ">=", since.date())]
    labels = job.lake.read(
        name, "labels", columns=["id", "source", "received_at", "value", "known_at"], where=days, schema=label_schema()
    )
    inside = pc.and_(pc.is_valid(labels["id"]), pc.less_equal(labels["known_at"], pa.scalar(as_of, INSTANT)))
    labels = labels.filter(pc.fill_null(inside, False))
    if not labels.num_rows:
        return TOLD.empty_table()
    said = [field.name for field in task.stored]
    predictions = job.lake.read(
        name, "predictions", columns=["id", *said], where=days, schema=prediction_schema((), task=task)
    )
    place = pc.index_in(labels["id"], value_set=predictions["id"].combine_chunks(), skip_nulls=True)
    is_known = pc.is_valid(place)
    labels, answered = labels.filter(is_known), predictions.select(said).take(place.drop_null())
    return _about_sure(job, labels["source"], labels["received_at"], labels["value"], task.answers(answered))


def _ingested(job: _entry.Job, *, as_of: datetime) -> pa.Table:
    """Labels that came with ingested rows which the champion has not learned from, beside what it says to the rows."""
    name = job.workload.name
    number = job.catalog.aliases(name).get("champion")
    if number is None or job.workload.asks:
        return TOLD.empty_table()
    version = job.catalog.version(name, number)
    last_event_at = version.lineage.get("last_event_at")
    since = max(as_of - SPAN, as_of if last_event_at is None else datetime.fromisoformat(last_event_at))
    where = [("event_date", ">=", since.date()), ("event_at", ">", since), ("label_known_at", "<=", as_of)]
    rows = job.lake.read(name, "raw", where=where, schema=raw_schema(job.workload.logged_columns))
    rows = rows.filter(pc.is_valid(rows["label"]))
    if not rows.num_rows:
        return TOLD.empty_table()
    model = ServedModel.load(read_bundle(version.bundle_uri, version.bundle_hash))
    answers = model.answers(as_trained(rows, model.columns, renamed=renamed_since(job.workload.earlier)))
    sources = pa.chunked_array([pa.array([INGESTED] * rows.num_rows)])
    return _about_sure(job, sources, rows["label_known_at"], rows["label"], answers)


def _about_sure(
    job: _entry.Job,
    sources: pa.ChunkedArray,
    arrived_at: pa.ChunkedArray,
    labels: pa.ChunkedArray,
    answers: NDArray[np.float64],
) -> pa.Table:
    found = job.workload.task.doubts(np.asarray(labels.to_numpy(), np.float64), answers)
    told = pa.table(
        {
            "source": pc.fill_null(sources, "unknown"),
            "arrived_at": arrived_at.cast(INSTANT),
            "contradicts": pa.array(found.is_contradicted),
            "expected": pa.array(found.expected, pa.float64()),
        },
        schema=TOLD,
    )
    return told.filter(pa.array(found.is_sure))
