"""Why an answer was what it was: the row as it was logged, the version behind it, and the label if there is one.

Reads:  lake: predictions, labels; the tables that jobs.score made
Writes: nothing
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.bulk.ids import run_tag, tag_of
from heliostat.bulk.scored import ANSWERED_WITH
from heliostat.errors import NotFoundError
from heliostat.ids import event_time
from heliostat.records import Run
from heliostat.serving.rows import Contract
from heliostat.store.lake import Lake
from heliostat.store.outputs import Output
from heliostat.store.schema import LABELS, PARTITION, PREDICTIONS, label_schema, prediction_schema
from heliostat.tasks import Task


def find(identifier: str, *, lake: Lake, workload: str, contract: Contract) -> dict[str, Any]:
    """The logged row of a prediction and its latest label; NotFoundError when the lake has no such prediction."""
    day = _day(identifier)
    rows = lake.read(
        workload,
        PREDICTIONS,
        where=[(PARTITION, "=", day), ("id", "=", identifier)],
        schema=prediction_schema(contract.logged, task=contract.task),
    ).to_pylist()
    if not rows:
        raise NotFoundError(
            f"No prediction {identifier!r} is in the lake; one that was just answered gets there within seconds."
        )
    prediction = rows[0]
    inputs = {column.name: prediction.pop(column.name) for column in contract.logged}
    if prediction["answered_with"] is not None:
        prediction["answered_with"] = json.loads(prediction["answered_with"])
    label = _latest_label(prediction, day, lake=lake, workload=workload, task=contract.task)
    return {"prediction": prediction, "inputs": inputs, "label": label}


def find_scored(
    identifier: str, *, runs: Sequence[Run], lake: Lake, workload: str, contract: Contract
) -> dict[str, Any] | None:
    """The same of a row that jobs.score answered, and the run that did; None when no run's answers hold it.

    The id names its run but for one in a million, so that one table is searched, and there one file.
    """
    day = _day(identifier)
    tag = tag_of(identifier)
    for run in reversed(runs):
        if run.result is None or run_tag(run.run_id) != tag:
            continue
        output = Output(**run.result["output"])
        rows = output.rows(identifier, version=run.result["output_version"]).to_pylist()
        if rows:
            (row,) = rows
            if row.get(ANSWERED_WITH) is not None:
                row[ANSWERED_WITH] = json.loads(row[ANSWERED_WITH])
            names = [column.name for column in contract.columns if column.name in row]
            inputs = {name: row.pop(name) for name in names} or None
            label = _latest_label(row, day, lake=lake, workload=workload, task=contract.task)
            return {"prediction": row, "inputs": inputs, "label": label, "scored_by": _scored_by(run)}
    return None


def _scored_by(run: Run) -> dict[str, Any]:
    made_from = {name: (run.result or {})[name] for name in ("input", "input_state", "where", "limit")}
    return {"run_id": run.run_id, "by": run.by, "started_at": run.started_at, "ended_at": run.ended_at, **made_from}


def _day(identifier: str) -> date:
    try:
        return event_time(identifier).astimezone(UTC).date()
    except (ValueError, OverflowError) as error:
        raise NotFoundError(f"{identifier!r:.80} is not the id of a prediction.") from error


def _latest_label(
    prediction: Mapping[str, Any], day: date, *, lake: Lake, workload: str, task: Task
) -> dict[str, Any] | None:
    """The label as callers send it: of several classes the class, and not its place."""
    by_id = _labels([(PARTITION, "=", day), ("id", "=", prediction["id"])], lake=lake, workload=workload)
    key, event_at = prediction["key"], prediction["event_at"]
    # A label by key lies at the day on which it became known, and means the key's latest prediction until then.
    since = [(PARTITION, ">=", day), ("key", "=", key)]
    by_key = _labels([*since, ("known_at", ">=", event_at)], lake=lake, workload=workload).to_pylist()
    if by_key:
        behind = [*since, ("event_at", ">", event_at)]
        later = lake.read(workload, PREDICTIONS, columns=["event_at"], where=behind, schema=prediction_schema(()))
        next_at = pc.min(later["event_at"]).as_py()
        by_key = [label for label in by_key if next_at is None or label["known_at"] < next_at]
    labels = [*by_id.to_pylist(), *by_key]
    latest = max(labels, key=_age, default=None)
    return None if latest is None else {**latest, "value": task.value(latest["value"])}


def _labels(where: list[tuple[str, str, object]], *, lake: Lake, workload: str) -> pa.Table:
    return lake.read(workload, LABELS, where=where, schema=label_schema())


def _age(label: dict[str, Any]) -> tuple[datetime, datetime]:
    return label["known_at"], label["received_at"]
