"""Champions of before on the newest rows: when their world is back, so are they, and nothing is fitted."""

from collections.abc import Sequence
from datetime import datetime

from heliostat.govern.candidates import returns
from heliostat.watch.monitor_json import reference_from_json
from jobs import _entry
from jobs._judging import Judgement, answered_rows, judge_on, known_rows
from jobs._windows import holdout_at


def returned(job: _entry.Job, *, as_of: datetime, onset_at: datetime | None) -> Judgement | None:
    """The best champion of before that passes the gates, surely beats the present one, and does as well as in its time.

    None when there is none; nothing is registered, because the version is there.
    """
    name = job.workload.name
    champion_number = job.catalog.aliases(name).get("champion")
    archive = _archive(job, champion_number)
    if champion_number is None or not archive:
        return None
    champion = job.catalog.version(name, champion_number)
    found: list[Judgement] = []
    for number, promoted in archive:
        version = job.catalog.version(name, number)
        rows = known_rows(job, version, as_of=as_of)
        holdout = answered_rows(rows, [version, champion], since=holdout_at(job.workload, rows, onset_at))
        if holdout.num_rows < job.workload.loop.min_holdout_rows:
            continue
        judged = judge_on(job, version, holdout, rows=rows, champion=champion, traffic=version)
        reference = reference_from_json(promoted)
        is_back = returns(judged.loss, reference=reference.score, error=reference.standard_error)
        if judged.is_promote and judged.sure_gain > 0 and is_back:
            found.append(judged)
    return min(found, key=lambda one: one.loss, default=None)


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
