"""What every source of labels told about rows that the champion was sure of, as the screen of labels looks at it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.govern.screen import Told
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema
from heliostat.tasks import Task
from heliostat.watch.windows import EPOCH

SPAN = timedelta(days=90)  # what is looked at before an instant, and a source's own past
READ_AT_ONCE = timedelta(days=7)  # days of events: memory holds the predictions of so many
INSTANT = pa.timestamp("us", tz="UTC")
MICROSECOND = timedelta(microseconds=1)
CANDIDATE = "candidate"  # the arm of whoever is on trial: it is judged by labels, and no witness against them
TOLD = pa.schema(
    [("source", pa.string()), ("arrived_at", INSTANT), ("contradicts", pa.bool_()), ("expected", "double")]
)


def answered(lake: Lake, name: str, *, task: Task, as_of: datetime) -> pa.Table:
    """Labels known by then that name an id, beside the sure answers that they are about (columns as in TOLD).

    Looked at are answers to events of the last 90 days, but for those of a candidate on trial.
    """
    return pa.concat_tables([TOLD.empty_table(), *_by_days(lake, name, task=task, as_of=as_of)])


def _by_days(lake: Lake, name: str, *, task: Task, as_of: datetime) -> Iterator[pa.Table]:
    since = as_of - SPAN
    while since <= as_of:
        until = since + READ_AT_ONCE
        # A label that names an id lies on the day inside it, as its prediction does.
        days = [("event_date", ">=", since.date()), ("event_date", "<", until.date())]
        if until > as_of:
            days = days[:1]
        columns = ["id", "source", "received_at", "value", "known_at"]
        labels = lake.read(name, "labels", columns=columns, where=days, schema=label_schema())
        inside = pc.and_(pc.is_valid(labels["id"]), pc.less_equal(labels["known_at"], pa.scalar(as_of, INSTANT)))
        labels = labels.filter(pc.fill_null(inside, False))
        if labels.num_rows:
            said = [field.name for field in task.stored]
            schema = prediction_schema((), task=task)
            rows = lake.read(name, "predictions", columns=["id", "arm", *said], where=days, schema=schema)
            rows = rows.filter(pc.fill_null(pc.not_equal(rows["arm"], CANDIDATE), True))
            place = pc.index_in(labels["id"], value_set=rows["id"].combine_chunks(), skip_nulls=True)
            labels, found = labels.filter(pc.is_valid(place)), rows.select(said).take(place.drop_null())
            yield about_sure(task, labels["source"], labels["received_at"], labels["value"], task.answers(found))
        since = until


def about_sure(
    task: Task,
    sources: pa.ChunkedArray,
    arrived_at: pa.ChunkedArray,
    labels: pa.ChunkedArray,
    answers: NDArray[np.float64],
) -> pa.Table:
    """Those of some labels that are about sure answers, and whether they contradict them (columns as in TOLD)."""
    found = task.doubts(np.asarray(labels.to_numpy(), np.float64), answers)
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
