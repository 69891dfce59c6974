"""Matured predictions as scores by version: what quality is judged on."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat.metrics import Metric
from heliostat.tasks import BINARY, Task
from heliostat.watch.events import CohortMatured, CohortScore
from heliostat.watch.outcomes import cohort


def score_cohort(
    joined: pa.Table,
    *,
    since: datetime,
    until: datetime,
    task: Task = BINARY,
    metrics: Sequence[Metric] | None = None,
) -> CohortMatured:
    """The cohort that fell due in the span, scored for each version that answered in it.

    By `metrics`, or all of the task's. Degraded answers are left out: they came from a fallback, not from the version.
    """
    rows = cohort(joined, since=since, until=until)
    rows = rows.filter(pc.invert(rows.column("degraded")))
    versions = sorted(pc.unique(rows.column("version")).to_pylist())
    return CohortMatured(
        since=since,
        until=until,
        score_by_version={
            version: _score(rows.filter(pc.equal(rows.column("version"), version)), task, metrics)
            for version in versions
        },
    )


def _score(rows: pa.Table, task: Task, metrics: Sequence[Metric] | None) -> CohortScore:
    labelled = rows.filter(pc.is_valid(rows.column("label")))
    labels = np.asarray(labelled.column("label").to_numpy(), np.float64)
    answers = task.answers(labelled)
    return CohortScore(
        num_predictions=rows.num_rows,
        num_labelled=labelled.num_rows,
        score_by_metric={metric.name: metric(labels, answers) for metric in (metrics or task.metrics)},
        expected=task.expected(answers),
    )
