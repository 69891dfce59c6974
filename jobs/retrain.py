"""The work of one turn of the loop: fit candidates, judge them, name the best and whether it may have traffic.

Reads:  lake: raw, predictions, labels; catalog: aliases
Writes: bundles; catalog: versions, runs, journal

The steward submits it and reads the run's result from the catalog; by hand it changes nothing that serves.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from heliostat.errors import TrainingError
from jobs import _entry
from jobs._archive import returned
from jobs._ending import judging
from jobs._judging import Judgement, best, judge
from jobs.train import RUN_COST, FitFailedError, fit_run, started


def retrain(job: _entry.Job) -> _entry.Result:
    """The best candidate of this turn and its verdict."""
    options = job.options
    try:
        judgements, is_returned, fitted_at = _judged(job)
    except TrainingError as error:
        # The same rows would fail again: the turn is over, and the reason is its result.
        status = "failed" if isinstance(error, FitFailedError) else "succeeded"
        result = {
            "run": options.run,
            "version": None,
            "verdict": "hold",
            "reasons": [str(error)],
            "error": str(error),
            **_failed_cost(job, error),
        }
    else:
        status = "succeeded"
        result = {
            "run": options.run,
            **best(judgements).as_dict(),
            "is_returned": is_returned,
            "judged": [each.as_dict() for each in judgements],
            **_cost(job, judgements),
            "fitted_at": fitted_at.isoformat(),
        }
    job.catalog.end_run(options.run, status=status, result=result, by=job.by, at=datetime.now(UTC))
    return result


def _judged(job: _entry.Job) -> tuple[list[Judgement], bool, datetime]:
    """A champion of before whose world is back (then True), or else what a run has fitted, and when that was done."""
    options = job.options
    run = started(job, run_id=options.run, as_of=options.as_of, onset_at=options.onset, is_turn=True)
    back = returned(job, as_of=options.as_of, onset_at=options.onset) if options.in_doubt else None
    if back is not None:
        print(f"version {back.version} answers as well as in its time, and better than the champion", flush=True)
        return [back], True, datetime.now(UTC)
    fitted = fit_run(job, run)
    fitted_at = datetime.now(UTC)
    with judging(job, fitted):
        return judge(job, fitted, as_of=options.as_of), False, fitted_at


def _cost(job: _entry.Job, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Labelled rows that were used, fits, and the CPU-seconds of workers and of this job; none without a fit."""
    lineages = [job.catalog.version(job.workload.name, each.version).lineage for each in judgements]
    fitted = _cost_of_fits(job) or {"fits": 0, "cpu_s": round(time.process_time(), 3)}
    return {"labels": max(int(lineage["num_rows"]) for lineage in lineages), **fitted}


def _cost_of_fits(job: _entry.Job) -> dict[str, Any]:
    """What the run has written of its fits, with the CPU-seconds of this job; nothing where nothing was fitted."""
    entries = job.catalog.entries(job.workload.name, kind=RUN_COST)
    costs = [entry.payload for entry in entries if entry.payload["run"] == job.options.run]
    if not costs:
        return {}
    return {"fits": costs[-1]["num_fits"], "cpu_s": round(costs[-1]["cpu_s"] + time.process_time(), 3)}


def _failed_cost(job: _entry.Job, error: TrainingError) -> dict[str, Any]:
    """That fits broke, and what they cost, as far as that is known; what fits cost that nobody could judge."""
    if not isinstance(error, FitFailedError):
        return _cost_of_fits(job)
    cpu_s = None if error.cpu_s is None else round(error.cpu_s + time.process_time(), 3)
    return {"is_failed": True, "fits": 0, "cpu_s": cpu_s}


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--run", required=True, help="name of the run; the same name goes on where it stopped")
    made.add_argument("--in-doubt", action="store_true", help="let earlier champions compete: not growth alone asked")
    made.add_argument("--onset", type=_entry.instant, help="since when the world is different, if that is known")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(retrain, arguments()))
