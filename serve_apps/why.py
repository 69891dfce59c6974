"""Why an answer was what it was: the row as it was logged, the version behind it, and the label if there is one.

Reads:  lake: predictions, labels
Writes: nothing
"""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from heliostat.errors import NotFoundError
from heliostat.ids import event_time
from heliostat.serving.rows import Contract
from heliostat.store.lake import Lake
from heliostat.store.schema import LABELS, PARTITION, PREDICTIONS, label_schema, prediction_schema


def find(identifier: str, *, lake: Lake, workload: str, contract: Contract) -> dict[str, Any]:
    """The logged row of a prediction and its latest label; NotFoundError when the lake has no such prediction."""
    day = _day(identifier)
    rows = lake.read(
        workload,
        PREDICTIONS,
        where=[(PARTITION, "=", day), ("id", "=", identifier)],
        schema=prediction_schema(contract.logged),
    ).to_pylist()
    if not rows:
        raise NotFoundError(
            f"No prediction {identifier!r} is in the lake; one that was just answered gets there within seconds."
        )
    prediction = rows[0]
    inputs = {column.name: prediction.pop(column.name) for column in contract.logged}
    label = _latest_label(identifier, prediction["key"], day, lake=lake, workload=workload)
    return {"prediction": prediction, "inputs": inputs, "label": label}


def _day(identifier: str) -> date:
    try:
        return event_time(identifier).astimezone(UTC).date()
    except (ValueError, OverflowError) as error:
        raise NotFoundError(f"{identifier!r:.80} is not the id of a prediction.") from error


def _latest_label(identifier: str, key: str, day: date, *, lake: Lake, workload: str) -> dict[str, Any] | None:
    by_id = _labels([(PARTITION, "=", day), ("id", "=", identifier)], lake=lake, workload=workload)
    # A label by key lies at the day on which it became known, the prediction's day or later.
    by_key = _labels([(PARTITION, ">=", day), ("key", "=", key)], lake=lake, workload=workload)
    labels = [*by_id.to_pylist(), *by_key.to_pylist()]
    return max(labels, key=_age, default=None)


def _labels(where: list[tuple[str, str, object]], *, lake: Lake, workload: str) -> pa.Table:
    return lake.read(workload, LABELS, where=where, schema=label_schema())


def _age(label: dict[str, Any]) -> tuple[datetime, datetime]:
    return label["known_at"], label["received_at"]
