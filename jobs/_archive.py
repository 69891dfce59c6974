"""Champions of before on the newest rows: when their world is back, so are they, and nothing is fitted."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from heliostat.errors import BundleError, TrainingError, WorkloadError
from heliostat.govern.candidates import Archived, returning
from heliostat.tasks import Task, repeated
from heliostat.watch.monitor_json import reference_from_json
from jobs import _entry
from jobs._judging import Judgement, answered_rows, judge_on, known_rows
from jobs._windows import holdout_at


def returned(job: _entry.Job, *, as_of: datetime, onset_at: datetime | None) -> Judgement | None:
    """The champion of before whose world is back (`govern.candidates.returning`); None when there is none.

    Nothing is registered, because the version is there. One that cannot answer any more is left out.
    """
    name = job.workload.name
    champion_number = job.catalog.aliases(name).get("champion")
    archive = _archive(job, champion_number)
    if champion_number is None or not archive:
        return None
    champion = job.catalog.version(name, champion_number)
    found: list[tuple[Judgement, Archived]] = []
    for number, promoted in archive:
        version = job.catalog.version(name, number)
        rows = known_rows(job, version, as_of=as_of)
        holdout = answered_rows(rows, [version, champion], since=holdout_at(job.workload, rows, onset_at))
        if holdout.num_rows < job.workload.loop.min_holdout_rows:
            continue
        try:
            judged = judge_on(job, version, holdout, rows=rows, champion=champion, traffic=version)
        except (BundleError, TrainingError, WorkloadError) as error:
            print(f"version {number} cannot return: {error}", flush=True)
            continue
        reference = reference_from_json(promoted)
        archived = Archived(
            loss=judged.loss,
            constant_loss=_constant_loss(job.workload.task, holdout),
            sure_gain=judged.sure_gain,
            is_passed=judged.is_promote,
            reference=reference.score,
            error=reference.standard_error,
        )
        found.append((judged, archived))
    place = returning([archived for _, archived in found])
    return None if place is None else found[place][0]


def _constant_loss(task: Task, holdout: pa.Table) -> float:
    labels = holdout["label"].to_numpy()
    return float(task.losses(labels, repeated(task.constant(labels), len(labels))).mean())


def _archive(job: _entry.Job, champion: int | None) -> list[tuple[int, Sequence[object]]]:
    """The last champions before this one, the newest first, each with what it scored when it was promoted."""
    promotions = job.catalog.entries(job.workload.name, kind="version_promoted")
    found: dict[int, Sequence[object]] = {}
    for entry in reversed(promotions):
        number = entry.payload["version"]
        judged = entry.payload["inputs"].get("inputs", {}).get(job.workload.task.loss.name)
        if number != champion and number not in found and judged is not None:
            found[number] = judged
    return list(found.items())[: job.workload.loop.max_archived]
