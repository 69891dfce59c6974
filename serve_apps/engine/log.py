"""The write-ahead log of a replica: what was answered is on the node's disk before the answer leaves.

Reads:  nothing
Writes: write-ahead segments: predictions, labels
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.errors import LakeError
from heliostat.ids import EPOCH
from heliostat.serving.labels import Label
from heliostat.store.schema import INSTANT, label_schema, prediction_schema
from heliostat.store.segments import SegmentWriter
from serve_apps.config import PredictorConfig

# What most batches say throughout, and the same from batch to batch: an array of few rows is made once.
_SAME = frozenset({"row", "due_at", "revision", "version", "arm", "degraded", "answered_with"})
_MOST_KEPT = 1024  # a column
_MICROSECOND = timedelta(microseconds=1)
# Above, a column that holds one value throughout (as most of a request's do) is seen as one: converting 4,096 instants
# takes a millisecond, comparing them a fortieth of that.
_FEW_ROWS = 64


class ReplicaLog:
    """Appends predictions and labels to segments and seals them soon, so that the recorder can take them.

    Made on the event loop that the replica runs on.
    """

    def __init__(self, config: PredictorConfig) -> None:
        answered = prediction_schema(config.contract.logged, task=config.contract.task, with_commit=False)
        self._prediction_batches = _Batches(answered)
        self._label_batches = _Batches(label_schema(with_commit=False))
        self._predictions = SegmentWriter(
            config.segments_dir, "predictions", schema=self._prediction_batches.schema, durability=config.durability
        )
        self._labels = SegmentWriter(
            config.segments_dir, "labels", schema=self._label_batches.schema, durability=config.durability
        )
        self._rotate_after_s = config.rotate_after_s
        self._loop = asyncio.get_running_loop()
        self._rotations: dict[SegmentWriter, asyncio.TimerHandle] = {}

    def append_predictions(self, values_by_name: dict[str, Any]) -> None:
        """One record batch, on disk when this returns; may be called beside the event loop."""
        self._append(self._predictions, self._prediction_batches.of(values_by_name))

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
        self._append(self._labels, self._label_batches.of(values_by_name))

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


class _Batches:
    """Makes record batches of one schema; looking at the schema each time would cost as much as the batch."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._columns = [(field.name, _Column(field.name, field.type)) for field in schema]

    def of(self, values_by_name: dict[str, Any]) -> pa.RecordBatch:
        """One batch of lists or arrays."""
        arrays = [column.array(values_by_name[name]) for name, column in self._columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


class _Column:
    """Makes the arrays of one column; what its name and type decide is decided once."""

    def __init__(self, name: str, kind: pa.DataType) -> None:
        self._kind = kind
        self._is_instant = kind == INSTANT
        self._is_same = name in _SAME
        self._kept: dict[tuple[Any, int], pa.Array] = {}

    def array(self, values: Any) -> pa.Array:
        """An array is taken as it is."""
        if isinstance(values, pa.Array):
            return values
        if isinstance(values, list) and (self._is_same or len(values) > _FEW_ROWS):
            first, num_rows = values[0], len(values)
            if values.count(first) == num_rows:
                return self._repeated(first, num_rows)
        if self._is_instant and None not in values:
            return _instants(values)
        return pa.array(values, self._kind)

    def _repeated(self, value: Any, num_rows: int) -> pa.Array:
        if not self._is_same or num_rows > _FEW_ROWS:
            return pa.repeat(pa.scalar(value, self._kind), num_rows)
        kept = self._kept.get((value, num_rows))
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = self._kept[value, num_rows] = pa.repeat(pa.scalar(value, self._kind), num_rows)
        return kept


def _instants(values: Sequence[datetime]) -> pa.Array:
    """As Arrow makes them, in a quarter of the time; rows of one request mostly share theirs."""
    microseconds: list[int] = []
    last, number = None, 0
    for at in values:
        if at is not last:
            last, number = at, (at - EPOCH) // _MICROSECOND
        microseconds.append(number)
    return pa.array(np.array(microseconds, np.int64)).view(INSTANT)
