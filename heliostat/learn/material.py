"""What a fit learns from, whether it lies in memory or is read again in every epoch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.learn import parallel
from heliostat.learn.examples import Examples
from heliostat.learn.objective import Objective, objective_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.row_checks import check_labels
from heliostat.learn.rows import EVENT_AT, LABEL, ordered
from heliostat.learn.shares import Feed, InMemory
from heliostat.learn.start import Start
from heliostat.learn.streamed import Stream, Streamed
from heliostat.learn.summary import Summary
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Material:
    """Rows to learn from: how their batches come, and what is known of all of them.

    `seen` are all examples, or of streamed ones those drawn; `labels` those of all, or each that occurs once; `digest`
    names the rows.
    """

    feed: Feed
    seen: Examples
    preparation: Preparation
    objective: Objective
    labels: NDArray[np.float64]
    constant: NDArray[np.float64]
    num_rows: int
    first_event_at: datetime
    last_event_at: datetime
    digest: str


def material_of(workload: Workload, rows: pa.Table | Streamed, *, start: Start | None) -> Material:
    """Training rows as they are learned from; TrainingError where a label is none of the task's."""
    return _streamed(workload, rows, start) if isinstance(rows, Streamed) else _in_memory(workload, rows, start)


def digest_of(tables: Sequence[pa.Table]) -> str:
    """Names the content of these tables."""
    digest = hashlib.sha256()
    for table in tables:
        for batch in table.combine_chunks().to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()


def _in_memory(workload: Workload, table: pa.Table, start: Start | None) -> Material:
    rows = ordered(table, workload, purpose="training")
    check_labels(workload.task, rows, purpose="training")
    preparation = Preparation.fit(rows, workload.columns) if start is None else start.preparation
    seen = Examples.of(rows, preparation)
    return Material(
        feed=InMemory(seen, most_ranks=max(workload.training.most_workers, parallel.num_ranks())),
        seen=seen,
        preparation=preparation,
        objective=objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic),
        labels=seen.labels,
        constant=workload.task.constant(seen.labels),
        num_rows=seen.num_rows,
        first_event_at=pc.min(rows[EVENT_AT]).as_py(),
        last_event_at=pc.max(rows[EVENT_AT]).as_py(),
        digest=digest_of([rows]),
    )


def _streamed(workload: Workload, rows: Streamed, start: Start | None) -> Material:
    summary = Summary(workload, rows)
    preparation = summary.preparation() if start is None else start.preparation
    return Material(
        feed=Stream(
            rows=rows,
            columns=tuple(workload.columns),
            preparation=preparation,
            num_lanes=max(workload.training.most_workers, parallel.num_ranks()),
        ),
        seen=Examples.of(summary.drawn, preparation),
        preparation=preparation,
        objective=objective_of(workload.task, summary.drawn[LABEL].to_numpy(), isotonic=workload.training.isotonic),
        labels=summary.labels,
        constant=summary.constant,
        num_rows=summary.num_rows,
        first_event_at=summary.first_event_at,
        last_event_at=summary.last_event_at,
        digest=rows.digest,
    )
