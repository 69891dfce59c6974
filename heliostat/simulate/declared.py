"""What a declared workload has lived through, as a stream: others answer the very rows that its loop answered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.gates import Gate, Scored
from heliostat.simulate.stream import MAX_STEPS, MIN_LABELLED, MIN_STEP_ROWS, Stream
from heliostat.workload import Workload

Index = NDArray[np.int64]
FIRST_STEP = 1  # the history; what was answered since follows in steps


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The sizes and gates of a workload: its hold-out has as many rows as its declared span did before the period."""

    min_holdout_rows: int
    max_holdout_rows: int
    holdout_split: float | None
    window_rows: int
    gates: Sequence[Gate]

    @classmethod
    def of(cls, workload: Workload, history: pa.Table, *, window_rows: int) -> "Declared":
        """`history` are the labelled rows before the period in order of time; gates on scores alone are kept."""
        event_at = _micros(history["event_at"])
        span = int(workload.loop.holdout_span.total_seconds() * 1e6)
        num_newest = int((event_at >= event_at[-1] - span).sum()) if len(event_at) else 0
        return cls(
            min_holdout_rows=workload.loop.min_holdout_rows,
            max_holdout_rows=max(workload.loop.min_holdout_rows, num_newest),
            holdout_split=workload.loop.holdout_split,
            window_rows=window_rows,
            gates=[gate for gate in workload.gates if isinstance(gate, Scored)],
        )


def declared_stream(workload: Workload, history: pa.Table, asked: pa.Table, *, since: datetime) -> Stream:
    """The labelled rows from before `since`, where the period begins, and those answered in it.

    Both in order of time with key, event_at, due_at, label, label_known_at and the columns. A row is learned from and
    judged by once it is due and its label is known, as in the loop: one from before the period too, whose label may
    come within it. The clock counts steps of answered rows.
    """
    rows = pa.concat_tables([history, asked.select(history.column_names)]).combine_chunks()
    num_before, num_rows = history.num_rows, rows.num_rows
    step_rows = max(MIN_STEP_ROWS, -(-asked.num_rows // MAX_STEPS))
    made = Stream(
        inputs=rows.drop_columns(["due_at", "label", "label_known_at"]),
        columns=tuple(workload.columns),
        labels=np.asarray(rows["label"].to_numpy(), np.float64),
        known_step=np.ones(num_rows, np.int64),
        due_step=np.ones(num_rows, np.int64),
        due_rows=np.zeros(0, np.int64),
        first_step=FIRST_STEP,
        step_rows=step_rows,
        task=workload.task,
        lead_rows=num_before,
    )
    reached_at = _reached_at(made, _micros(rows["event_at"]), since=since)
    due_step = _reached(made, reached_at, _micros(rows["due_at"], missing=0))
    known_step = _reached(made, reached_at, _micros(rows["label_known_at"]))
    due_rows = np.searchsorted(np.sort(due_step), np.arange(made.num_steps + 1), side="right").astype(np.int64)
    return replace(made, known_step=known_step, due_step=due_step, due_rows=due_rows)


def _reached_at(made: Stream, event_at: Index, *, since: datetime) -> Index:
    """What the clock of events shows at the end of each step: the begin of the period at that of the first."""
    ends = np.array([made.rows_at(step) for step in range(FIRST_STEP, made.num_steps + 1)])
    found = event_at[np.maximum(ends, 1) - 1]
    found[0] = _micros(pa.chunked_array([pa.array([since], pa.timestamp("us", tz="UTC"))]))[0]
    return np.asarray(found, np.int64)


def _reached(made: Stream, reached_at: Index, at: Index) -> Index:
    """The step at whose end the clock has reached each row's instant, the row's own at the earliest."""
    told = np.searchsorted(reached_at, at, side="left") + FIRST_STEP
    return np.asarray(np.maximum(told, made.steps_of(np.arange(made.num_rows))), np.int64)


def _micros(instants: pa.ChunkedArray, *, missing: int | None = None) -> Index:
    numbers = instants.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray((numbers if missing is None else numbers.fill_null(missing)).to_numpy(), np.int64)


def is_long_enough(history: pa.Table, asked: pa.Table) -> bool:
    """Whether there is something to start from and something to score."""
    return bool(min(history.num_rows, asked.num_rows) >= MIN_LABELLED)
