"""Matured predictions as scores by version: what quality is judged on, and what estimates are checked against."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.metrics import Metric
from heliostat.tasks import BINARY, Task
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.estimates import AnswerTally, estimates
from heliostat.watch.events import CohortMatured, CohortScore
from heliostat.watch.groups import tallies
from heliostat.watch.outcomes import cohort
from heliostat.watch.profile import OUTPUT
from heliostat.watch.reliability import reliability
from heliostat.watch.said import said_and_came

DELAY_QUANTILES = (0.5, 0.95)


def score_cohort(
    joined: pa.Table,
    *,
    since: datetime,
    until: datetime,
    task: Task = BINARY,
    metrics: Sequence[Metric] | None = None,
    groups: Sequence[NumberBins | CategoryBins] = (),
) -> CohortMatured:
    """The cohort that fell due in the span, scored for each version that answered in it, and by `groups`.

    By `metrics`, or all of the task's. Degraded answers are left out: they came from a fallback, not from the version.
    """
    rows = cohort(joined, since=since, until=until)
    rows = rows.filter(pc.invert(rows.column("degraded")))
    versions = sorted(pc.unique(rows.column("version")).to_pylist())
    return CohortMatured(
        since=since,
        until=until,
        score_by_version={
            version: _score(rows.filter(pc.equal(rows.column("version"), version)), task, metrics, groups)
            for version in versions
        },
    )


def _score(
    rows: pa.Table, task: Task, metrics: Sequence[Metric] | None, groups: Sequence[NumberBins | CategoryBins]
) -> CohortScore:
    labelled = rows.filter(pc.is_valid(rows.column("label")))
    labels = np.asarray(labelled.column("label").to_numpy(), np.float64)
    answers = task.answers(labelled)
    said, came = said_and_came(task, labels, answers)
    return CohortScore(
        num_predictions=rows.num_rows,
        num_labelled=labelled.num_rows,
        score_by_metric={
            one.name: one(labels, answers) for one in dict.fromkeys([*(metrics or task.metrics), task.score])
        },
        expected=task.expected(answers),
        estimated_by_metric=_estimated(task, task.answers(rows)),
        reliability=reliability(came, said),
        groups=tallies(labelled, groups, task=task, labels=labels, answers=answers),
        label_delay_s=_delays_s(labelled),
    )


def _estimated(task: Task, answers: NDArray[np.float64]) -> dict[str, float]:
    """What the answers expect of themselves: of probabilities all that is known of them, else the task's loss."""
    if task.output_name == OUTPUT:
        return estimates(AnswerTally.of(answers))
    found = task.expected(answers)
    return {} if found is None else {task.loss.name: found.loss}


def _delays_s(labelled: pa.Table) -> dict[str, float]:
    """Quantiles of the seconds from an event to its label; none where that is not known."""
    if not {"event_at", "label_known_at"} <= set(labelled.column_names):
        return {}
    delays = pc.subtract(labelled["label_known_at"], labelled["event_at"]).cast(pa.int64()).drop_null()
    if not len(delays):
        return {}
    found = np.quantile(delays.to_numpy(), DELAY_QUANTILES, method="inverted_cdf") / 1e6
    return {f"{quantile:g}": float(value) for quantile, value in zip(DELAY_QUANTILES, found, strict=True)}
