"""Screens the labels that came since the last weeks, before anybody learns from them.

Reads:  lake: predictions, labels; catalog: journal
Writes: catalog: journal
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.govern.screen import UNSURE, Told, shut_out, suspicions
from heliostat.labels import Binary
from heliostat.store.schema import label_schema, prediction_schema
from heliostat.watch.windows import EPOCH
from jobs import _entry

SPAN = timedelta(days=90)
KIND = "labels_suspected"
INSTANT = pa.timestamp("us", tz="UTC")


def screened(job: _entry.Job, *, as_of: datetime) -> list[dict[str, str]]:
    """Sources and spans whose labels are not learned from: those found now, told in the journal, and those before."""
    known = [entry.payload for entry in job.catalog.entries(job.workload.name, kind=KIND)]
    told_before = {(one["source"], one["since"]) for one in known}
    # Which answers of another kind a label contradicts is not said yet.
    told = _told(job, as_of=as_of) if isinstance(job.workload.label, Binary) else []
    for found in suspicions(told):
        said = found.to_json()
        if (said["source"], said["since"]) not in told_before:
            print(f"labels: {found.reason}", flush=True)
            job.catalog.append(KIND, job.workload.name, said, by=job.by, at=datetime.now(UTC))
            known.append(said)
    return shut_out(known)


def _told(job: _entry.Job, *, as_of: datetime) -> list[Told]:
    """What every source told, by window of arrival, about rows that a champion was sure of."""
    rows = _confident(job, as_of=as_of)
    span = job.workload.loop.window
    labels, answers = rows["value"].to_numpy(), rows["probability"].to_numpy()
    arrived = rows["received_at"].cast(INSTANT).cast(pa.int64()).to_numpy() // int(span / timedelta(microseconds=1))
    sources = rows["source"].to_numpy()
    found: list[Told] = []
    for source in np.unique(sources):
        for window in np.unique(arrived[sources == source]):
            is_own = (sources == source) & (arrived == window)
            since = EPOCH + int(window) * span  # the windows of the monitor
            found.append(_counted(str(source), since, labels[is_own], answers[is_own], job=job))
    return found


def _counted(
    source: str, since: datetime, labels: NDArray[np.float64], answers: NDArray[np.float64], *, job: _entry.Job
) -> Told:
    return Told(
        source=source,
        since=since,
        until=since + job.workload.loop.window,
        num_confident=len(labels),
        num_contradicting=int(((answers > 0.5) != (labels > 0.5)).sum()),
        expected=float(np.minimum(answers, 1 - answers).mean()),
    )


def _confident(job: _entry.Job, *, as_of: datetime) -> pa.Table:
    """Labels that name an id, with source, received_at and value, beside the confident `probability` they are about."""
    name, since = job.workload.name, as_of - SPAN
    labels = job.lake.read(name, "labels", where=[("event_date", ">=", since.date())], schema=label_schema())
    inside = pc.and_(pc.is_valid(labels["id"]), pc.less_equal(labels["known_at"], pa.scalar(as_of, INSTANT)))
    labels = labels.filter(pc.fill_null(inside, False)).select(["id", "source", "received_at", "value"])
    labels = labels.set_column(1, "source", pc.fill_null(labels["source"], "unknown"))
    predictions = job.lake.read(
        name, "predictions", where=[("event_date", ">=", since.date())], schema=prediction_schema(())
    )
    is_sure = pc.greater(pc.abs(pc.subtract(predictions["probability"], 0.5)), 0.5 - UNSURE)
    sure = predictions.filter(pc.fill_null(is_sure, False)).select(["id", "probability"])
    return labels.join(sure, keys="id", join_type="inner").sort_by([("id", "ascending"), ("received_at", "ascending")])
