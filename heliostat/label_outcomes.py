"""What became of labels, composed of the lake's tables and their counts: every day is read once."""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema
from heliostat.watch.label_counts import LabelCounts

MAX_DAYS = 8  # settled at once: after a long pause the rest settles with later observations


def followed(
    lake: Lake, workload: str, before: LabelCounts, *, predictions: pa.Table, clock: datetime, wait: timedelta | None
) -> LabelCounts:
    """The counts with all labels that are in the lake; `predictions` are those that were read since the last time.

    Labels fall due within `wait` of their event; None where that is not known, then no day settles.
    """
    if before.settled_until is None:
        if not predictions.num_rows:
            return before
        return before.begun(predictions, read_until=lake.version(workload, "labels"), clock=clock)
    told, read_until = lake.changes(workload, "labels", after_version=before.read_until, schema=label_schema())
    counts = before.heard(told, read_until=read_until, clock=clock)
    for _ in range(MAX_DAYS):
        day = None if wait is None or counts.read_until is None else counts.next_day(clock, wait=wait)
        if day is None:
            break
        on_the_day = [("event_date", "=", day)]
        rows = lake.read(
            workload, "predictions", where=on_the_day, columns=("id", "due_at"), schema=prediction_schema(())
        )
        # At the version that was followed: a label that comes in this moment is too old, and counted with the next.
        labels = lake.read(workload, "labels", where=on_the_day, version=counts.read_until, schema=label_schema())
        counts = counts.settled(rows, labels.filter(pc.is_valid(labels["id"])))
    return counts
