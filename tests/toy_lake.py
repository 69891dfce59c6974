"""The toy's months in a real lake: as ingested, as answered by a version, and with labels as they became known."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat.ids import prediction_id
from heliostat.intake import take
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema, raw_schema, shadow_schema
from tests.toy_quick import workload

FAR = datetime(2200, 1, 1, tzinfo=UTC)


def rows_of(*, since: datetime | None, until: datetime, known_by: datetime = FAR) -> pa.Table:
    """The toy's rows of a span with the labels that were known by then, in order of time."""
    parts = [
        take(workload, workload.source.read(part), since=since, until=known_by).good for part in workload.source.parts()
    ]
    rows = pa.concat_tables(parts)
    rows = rows.filter(pc.less(rows["event_at"], pa.scalar(until, rows["event_at"].type)))
    return rows.sort_by([("event_at", "ascending"), ("key", "ascending")])


def ingest(lake: Lake, *, until: datetime, since: datetime | None = None, sequence: int = 1) -> None:
    """Raw rows as they were known at `until`."""
    rows = rows_of(since=since, until=until, known_by=until)
    lake.append("toy", "raw", _dated(rows, raw_schema(workload.columns)), stream="ingest", sequence=sequence)


def answer(lake: Lake, rows: pa.Table, *, sequence: int = 1, arms: list[str] | None = None, **given) -> list[str]:
    """The rows as version 1 answered them (or as `given` says), each with an id that follows from its key."""
    arms = arms or ["champion"] * rows.num_rows
    fixed = {"version": 1, "degraded": False, "probability": 0.4, **given}
    event_at = rows["event_at"].to_pylist()
    ids = [prediction_id(key, 0, event_at=at) for key, at in zip(rows["key"].to_pylist(), event_at, strict=True)]
    table = rows.append_column("id", pa.array(ids)).append_column("arm", pa.array(arms))
    for name, value in fixed.items():
        repeated = [value] * rows.num_rows if np.isscalar(value) or value is None else value
        table = table.append_column(name, pa.array(repeated))
    table = _dated(table, prediction_schema(workload.columns))
    lake.append("toy", "predictions", table, stream="recorder", sequence=sequence)
    return ids


def shadow(lake: Lake, rows: pa.Table, *, sequence: int = 1, version=2, probability=0.4, **given) -> None:
    """What another version said to answered rows, once their answers were gone."""
    event_at = rows["event_at"].to_pylist()
    values = {
        "id": [prediction_id(key, 0, event_at=at) for key, at in zip(rows["key"].to_pylist(), event_at, strict=True)],
        "event_at": rows["event_at"],
        "version": version,
        "probability": probability,
        "latency_ms": 0.5,
        "answer_latency_ms": 0.5,
        "batch_rows": 1,
        **given,
    }
    table = pa.table(
        {
            name: pa.array([value] * rows.num_rows) if np.isscalar(value) or value is None else value
            for name, value in values.items()
        }
    )
    lake.append("toy", "shadows", _dated(table, shadow_schema()), stream="recorder", sequence=sequence)


def tell(lake: Lake, rows: pa.Table, *, sequence: int = 1) -> None:
    """The labels of answered rows, each known when the world knew it."""
    known = rows.filter(pc.is_valid(rows["label_known_at"]))
    event_at = known["event_at"].to_pylist()
    ids = [prediction_id(key, 0, event_at=at) for key, at in zip(known["key"].to_pylist(), event_at, strict=True)]
    labels = pa.table(
        {
            "id": ids,
            "value": known["label"],
            "known_at": known["label_known_at"],
            "received_at": known["label_known_at"],
            "event_at": known["event_at"],
        }
    )
    lake.append("toy", "labels", _dated(labels, label_schema()), stream="recorder", sequence=sequence)


def _dated(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return conform(rows.append_column("event_date", rows["event_at"].cast(pa.date32())), schema)
