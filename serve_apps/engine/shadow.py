"""What the other version of a trial says to rows that were answered: asked when the answers are gone, never before.

Reads:  bundles, in a process of its own
Writes: write-ahead segments: shadows
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.errors import LakeError
from heliostat.serving.routing import Arm
from heliostat.store.schema import shadow_schema
from heliostat.store.segments import SegmentWriter
from heliostat.tasks import Task
from serve_apps.config import PredictorConfig
from serve_apps.engine.shadow_process import Said, ShadowProcess
from serve_apps.engine.versions import Live

logger = logging.getLogger(__name__)
Places = NDArray[np.intp]
MAX_WAITING_ROWS = 50_000
MAX_WAITING_S = 30.0  # longer than it takes to start the process, shorter than whoever drains the segments waits
MAX_OPEN_S = 40.0
IDLE_S = 60.0  # after which the process that scores is ended, and its memory is free
REST_S = 5.0  # after that process ended by itself


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A batch as it was answered, row by row; `model_ms` is how long the model took for all rows of the same arm."""

    live: Live
    ids: Sequence[str]
    event_at: Sequence[datetime]
    table: pa.Table
    arms: Sequence[Arm]
    degraded: Sequence[bool]
    model_ms: Sequence[float]
    at_s: float = field(default_factory=time.monotonic)

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return len(self.ids)


class Shadow:
    """A bounded queue, and one thread that has its rows scored and logged; what does not fit is dropped and counted.

    `offer` and `release` cost microseconds and never wait for a model: that runs in another process, at a lower
    priority, which may be slow, hang or die without any caller noticing. Nothing is started before the first offer.
    """

    def __init__(self, config: PredictorConfig, process: ShadowProcess | None = None) -> None:
        self._process = process or ShadowProcess(config.device)
        self._task = config.contract.task
        self._schema = shadow_schema(task=self._task, with_commit=False)
        self._writer = SegmentWriter(config.segments_dir, "shadows", schema=self._schema, durability="process")
        self._rotate_after_s = config.rotate_after_s
        self._offered: deque[Answered] = deque()
        self._queue: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        # Held while a segment is opened for what is put, and while it is sealed because nothing waits any more.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._rows_waiting = 0
        self._opened_s: float | None = None
        self._rests_until_s = 0.0
        self.num_scored = self.num_dropped = 0

    def offer(self, answered: Answered) -> None:
        """Keep a batch until its answers are gone; may be called beside the event loop."""
        self._offered.append(answered)

    def release(self) -> None:
        """The answers of all that was offered are gone: it may be scored now."""
        while self._offered:
            self._put(self._offered.popleft())

    def status(self) -> dict[str, int]:
        """Rows that another version scored as well, that wait for it, and that nobody could be asked about in time."""
        return {"num_scored": self.num_scored, "num_waiting": self._rows_waiting, "num_dropped": self.num_dropped}

    def close(self) -> None:
        """What was scored is logged, what waits is dropped, and the process has ended."""
        self._is_closed = True
        self._queue.put(None)
        self._process.kill()
        if self._thread is not None:
            self._thread.join()

    def _put(self, answered: Answered) -> None:
        with self._lock:
            if self._is_closed or self._rows_waiting + answered.num_rows > MAX_WAITING_ROWS:
                self.num_dropped += answered.num_rows
                return
            if self._opened_s is None:
                self._open()
            self._rows_waiting += answered.num_rows
        self._queue.put(answered)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def _open(self) -> None:
        try:
            # Before it is scored: the recorder's `drain` then waits for these rows, too.
            self._writer.begin()
            self._opened_s = time.monotonic()
        except (LakeError, OSError):
            logger.exception("Shadows cannot be logged on this node; trying again with the next answers.")

    def _run(self) -> None:
        scored: list[pa.RecordBatch] = []
        while True:
            try:
                answered = self._queue.get(timeout=IDLE_S if self._opened_s is None else self._rotate_after_s)
            except queue.Empty:
                self._write(scored)
                self._process.stop_if_idle(IDLE_S)
                continue
            if answered is None:
                break
            # The outer edge of a thread that callers do not wait for: one batch is lost, and said to be.
            try:
                scored += self._scored(answered)
            except Exception:
                logger.exception("%d answered rows were not compared.", answered.num_rows)
                self.num_dropped += answered.num_rows
            with self._lock:
                self._rows_waiting -= answered.num_rows
            if self._opened_s is not None and time.monotonic() - self._opened_s > self._rotate_after_s:
                self._write(scored)
        self._write(scored)
        self._process.stop()

    def _write(self, scored: list[pa.RecordBatch]) -> None:
        """Log what was scored, and seal the segment unless more waits that is to go into it."""
        num_rows = sum(batch.num_rows for batch in scored)
        try:
            if num_rows:
                self._writer.append(pa.Table.from_batches(scored).combine_chunks().to_batches()[0])
                self.num_scored += num_rows
        except LakeError:
            logger.exception("%d answered rows were compared and could not be logged.", num_rows)
            self.num_dropped += num_rows
        scored.clear()
        with self._lock:
            open_s = 0.0 if self._opened_s is None else time.monotonic() - self._opened_s
            if self._rows_waiting and not self._is_closed and open_s < MAX_OPEN_S:
                return
            self._writer.rotate()
            self._opened_s = None
            if self._rows_waiting and not self._is_closed:
                self._open()

    def _scored(self, answered: Answered) -> Iterator[pa.RecordBatch]:
        now_s = time.monotonic()
        if self._is_closed or now_s < self._rests_until_s or now_s - answered.at_s > MAX_WAITING_S:
            self.num_dropped += answered.num_rows
            return
        for number, places in _counterparts(answered):
            table = answered.table if len(places) == answered.num_rows else answered.table.take(places)
            said = self._process.ask(answered.live, number, table)
            if said.has_ended:
                self._rests_until_s = time.monotonic() + REST_S
            yield _batch(answered, places, version=number, said=said, task=self._task, schema=self._schema)


def _counterparts(answered: Answered) -> Iterator[tuple[int, Places]]:
    """Which version of the trial is to be asked about which rows: the one that did not answer them.

    Not about rows that a third version answered: because their own could not, or because the caller wanted it so.
    """
    route, arms, degraded = answered.live.route, np.asarray(answered.arms), np.asarray(answered.degraded)
    for arm, other in (("champion", route.candidate), ("candidate", route.champion)):
        places = np.flatnonzero((arms == arm) & ~degraded)
        if other is not None and len(places):
            yield other, places


def _nothing(task: Task, num_rows: int) -> dict[str, pa.Array]:
    return {field.name: pa.nulls(num_rows, field.type) for field in task.stored}


def _batch(
    answered: Answered, places: Places, *, version: int, said: Said, task: Task, schema: pa.Schema
) -> pa.RecordBatch:
    num_rows = len(places)
    value_by_name: dict[str, Any] = {
        "id": pa.array(answered.ids, pa.string()).take(places),
        "event_at": pa.array(answered.event_at, schema.field("event_at").type).take(places),
        "version": np.full(num_rows, version),
        **(_nothing(task, num_rows) if said.probabilities is None else task.columns(said.probabilities)),
        "error": pa.array([said.error] * num_rows, pa.string()),
        "latency_ms": pa.array([said.latency_ms] * num_rows, pa.float64()),
        "answer_latency_ms": pa.array(np.asarray(answered.model_ms)[places], from_pandas=True),  # NaN: from the cache
        "batch_rows": np.full(num_rows, num_rows),
    }
    arrays = [pa.array(value_by_name[name]).cast(schema.field(name).type) for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
