"""The write-ahead log of a replica: what was answered is on the node's disk before the answer leaves.

Reads:  nothing
Writes: write-ahead segments: predictions, labels
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from heliostat.errors import LakeError
from heliostat.serving.labels import Label
from heliostat.store.schema import label_schema, prediction_schema
from heliostat.store.segments import SegmentWriter
from serve_apps.config import PredictorConfig

# Above, a column that holds one value throughout (as most of a request's do) is seen as one: converting 4,096 instants
# takes a millisecond, comparing them a fortieth of that.
_FEW_ROWS = 64


class ReplicaLog:
    """Appends predictions and labels to segments and seals them soon, so that the recorder can take them.

    Made on the event loop that the replica runs on.
    """

    def __init__(self, config: PredictorConfig) -> None:
        self._prediction_schema = prediction_schema(config.contract.logged, with_commit=False)
        self._label_schema = label_schema(with_commit=False)
        self._predictions = SegmentWriter(
            config.segments_dir, "predictions", schema=self._prediction_schema, durability=config.durability
        )
        self._labels = SegmentWriter(
            config.segments_dir, "labels", schema=self._label_schema, durability=config.durability
        )
        self._rotate_after_s = config.rotate_after_s
        self._loop = asyncio.get_running_loop()
        self._rotations: dict[SegmentWriter, asyncio.TimerHandle] = {}

    def append_predictions(self, values_by_name: dict[str, Any]) -> None:
        """One record batch, on disk when this returns; may be called beside the event loop."""
        self._append(self._predictions, _batch(values_by_name, self._prediction_schema))

    def append_labels(self, labels: Sequence[Label], *, received_at: datetime, source: str) -> None:
        """The labels of one request, on disk when this returns."""
        values_by_name = {
            "id": [label.id for label in labels],
            "key": [label.key for label in labels],
            "value": [label.value for label in labels],
            "known_at": [label.known_at for label in labels],
            "received_at": [received_at] * len(labels),
            "source": [source] * len(labels),
        }
        self._append(self._labels, _batch(values_by_name, self._label_schema))

    def close(self) -> None:
        """Seals what is open."""
        for timer in self._rotations.values():
            timer.cancel()
        self._rotations.clear()
        self._predictions.rotate()
        self._labels.rotate()

    def _append(self, writer: SegmentWriter, batch: pa.RecordBatch) -> None:
        try:
            writer.append(batch)
        except OSError as error:
            raise LakeError(f"Nothing was answered, because it cannot be logged on this node: {error}.") from error
        self._seal_soon(writer)

    def _seal_soon(self, writer: SegmentWriter) -> None:
        # A timer that still stands here fires after this append, and so seals it too.
        if writer not in self._rotations:
            self._loop.call_soon_threadsafe(self._start_timer, writer)

    def _start_timer(self, writer: SegmentWriter) -> None:
        if writer not in self._rotations:
            self._rotations[writer] = self._loop.call_later(self._rotate_after_s, self._seal, writer)

    def _seal(self, writer: SegmentWriter) -> None:
        # Forgotten first: an append during the rotation must be able to ask for the next one.
        del self._rotations[writer]
        writer.rotate()


def _batch(values_by_name: dict[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_array(values_by_name[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, list) and len(values) > _FEW_ROWS and values.count(values[0]) == len(values):
        return pa.repeat(pa.scalar(values[0], kind), len(values))
    return pa.array(values, kind)
