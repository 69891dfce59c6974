"""The committer: sealed segments of one directory go into the lake exactly once, whenever and wherever it is killed."""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import Column
from heliostat.errors import LakeError
from heliostat.records import Committed
from heliostat.store import duplicates, plans, segments
from heliostat.store.duplicates import KnownRows
from heliostat.store.lake import Lake
from heliostat.store.schema import (
    LABELS,
    PARTITION,
    PREDICTIONS,
    SHADOWS,
    label_schema,
    prediction_schema,
    shadow_schema,
)
from heliostat.store.stamps import event_dates, label_dates, stamped
from heliostat.tasks import BINARY, Task

LOCK_NAME = "committer.lock"
MAX_BYTES = 128 * 1024 * 1024  # of segments of one kind in one commit


class SegmentCommitter:
    """Moves the sealed segments of `directory` into the tables of `workload` as the only writer of `stream`.

    Rows that another stream commits in the very same moment are not seen: a reader that must not count a prediction
    twice still takes one row an id.
    """

    def __init__(
        self,
        lake: Lake,
        workload: str,
        *,
        directory: Path,
        stream: str,
        columns: Sequence[Column],
        task: Task = BINARY,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._lake = lake
        self._workload = workload
        self._directory = directory
        self._stream = stream
        self._max_bytes = max_bytes
        self._lock: int | None = None
        self._sequence: int | None = None
        self._segment_schema_by_table = {
            PREDICTIONS: prediction_schema(columns, task=task, with_commit=False),
            SHADOWS: shadow_schema(task=task, with_commit=False),
            LABELS: label_schema(with_commit=False),
        }
        self._known_by_table = {
            PREDICTIONS: KnownRows(duplicates.prediction_identities, self._committed_predictions),
            SHADOWS: KnownRows(duplicates.shadow_identities, self._committed_shadows),
            LABELS: KnownRows(duplicates.label_identities, self._committed_labels),
        }
        self._version_by_table: dict[str, int | None] = {PREDICTIONS: None, SHADOWS: None, LABELS: None}

    def step(self) -> Committed:
        """What was moved: what a crash left half done, else all segments that are sealed, up to `max_bytes`."""
        self._take_lock()
        plan = plans.pending(self._directory) or self._new_plan()
        if plan is None:
            return Committed()
        predictions, num_predictions = self._move(PREDICTIONS, plan.predictions, sequence=plan.sequence)
        shadows, num_shadows = self._move(SHADOWS, plan.shadows, sequence=plan.sequence)
        labels, num_labels = self._move(LABELS, plan.labels, sequence=plan.sequence)
        plans.finish(self._directory, plan)
        self._sequence = plan.sequence
        return Committed(
            sequence=plan.sequence,
            num_segments=len(plan.names),
            num_predictions=num_predictions,
            num_shadows=num_shadows,
            num_labels=num_labels,
            num_duplicates=sum(rows.num_rows for rows in (predictions, shadows, labels))
            - (num_predictions + num_shadows + num_labels),
            # Of all rows: what a crash left behind was committed before, and must not hold a watermark back.
            watermark_at=pc.max(predictions.column("event_at")).as_py(),
            labels_watermark_at=pc.max(labels.column("known_at")).as_py(),
        )

    def close(self) -> None:
        """Another committer may have the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise LakeError(
                f"Another process commits the segments in {self._directory}; wait until it has ended."
            ) from error
        self._lock = lock

    def _new_plan(self) -> plans.Plan | None:
        chosen = plans.next_segments(self._directory, max_bytes=self._max_bytes)
        if chosen is None:
            return None
        plan = replace(chosen, sequence=1 + self._last_sequence())
        plans.write(self._directory, plan)
        return plan

    def _last_sequence(self) -> int:
        """The number used last; looked up once, as nobody else writes this stream."""
        if self._sequence is None:
            last = [
                self._lake.last_sequence(self._workload, table, stream=self._stream) for table in self._known_by_table
            ]
            self._sequence = max(sequence or 0 for sequence in last)
        return self._sequence

    def _move(self, table: str, names: Sequence[str], *, sequence: int) -> tuple[pa.Table, int]:
        """The rows of the segments, all of them in the lake now, and how many of them were new."""
        # A segment that is missing was removed after the commit of a plan that a crash left behind.
        paths = [path for name in names if (path := self._directory / name).exists()]
        schema = self._segment_schema_by_table[table]
        rows = pa.concat_tables([schema.empty_table(), *(segments.read(path, schema) for path in paths)])
        if rows.num_rows == 0:
            return rows, 0
        dates = label_dates(rows) if table == LABELS else event_dates(rows)
        fresh = self._known(table).fresh(stamped(rows, dates, stream=self._stream, sequence=sequence))
        if fresh.num_rows:
            self._append(table, fresh, sequence=sequence)
        return rows, fresh.num_rows

    def _append(self, table: str, rows: pa.Table, *, sequence: int) -> None:
        if not self._lake.append(self._workload, table, rows, stream=self._stream, sequence=sequence):
            # Not a commit of ours that a crash left behind: its rows would be known, and none would be left here.
            raise LakeError(
                f"{self._workload}/{table} has number {sequence} of the stream {self._stream!r} already, with other "
                f"rows: two committers use one stream. Give the one for {self._directory} a stream of its own; "
                "its segments are kept."
            )
        self._known_by_table[table].add(rows)
        before = self._version_by_table[table]
        # The first append comes after the commit that creates the table, version 0.
        self._version_by_table[table] = 1 if before is None else before + 1

    def _known(self, table: str) -> KnownRows:
        known, version = self._known_by_table[table], self._lake.version(self._workload, table)
        if version != self._version_by_table[table]:
            known.forget()  # somebody else wrote to the table
        self._version_by_table[table] = version
        return known

    def _committed_predictions(self, day: date) -> pa.Table:
        return self._committed(PREDICTIONS, day, columns=["id"])

    def _committed_shadows(self, day: date) -> pa.Table:
        return self._committed(SHADOWS, day, columns=["id", "version"])

    def _committed_labels(self, day: date) -> pa.Table:
        return self._committed(LABELS, day, columns=["id", "key", "value", "known_at", "source"])

    def _committed(self, table: str, day: date, *, columns: list[str]) -> pa.Table:
        schema = self._segment_schema_by_table[table]
        where = [(PARTITION, "=", day)]
        return self._lake.read(self._workload, table, columns=columns, where=where, schema=schema)
