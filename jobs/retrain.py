"""The work of one turn of the loop: fit candidates, judge them, name the best and whether it may have traffic.

Reads:  lake: raw, predictions, labels; catalog: aliases
Writes: bundles; catalog: versions, runs, journal

The steward submits it and reads the run's result from the catalog; by hand it changes nothing that serves.
"""

import argparse
import sys
from datetime import UTC, datetime

from heliostat.errors import TrainingError
from jobs import _entry
from jobs._judging import best, judge
from jobs.train import FitFailedError, fit_versions


def retrain(job: _entry.Job) -> _entry.Result:
    """The best candidate of this run and its verdict."""
    options = job.options
    try:
        versions = fit_versions(job, run_id=options.run, as_of=options.as_of, onset_at=options.onset)
        judgements = judge(job, versions, as_of=options.as_of)
    except TrainingError as error:
        # The same rows would fail again: the turn is over, and the reason is its result.
        status = "failed" if isinstance(error, FitFailedError) else "succeeded"
        result = {"run": options.run, "version": None, "verdict": "hold", "reasons": [str(error)], "error": str(error)}
    else:
        status = "succeeded"
        result = {
            "run": options.run,
            **best(judgements).as_dict(),
            "judged": [each.as_dict() for each in judgements],
        }
    job.catalog.end_run(options.run, status=status, result=result, by=job.by, at=datetime.now(UTC))
    return result


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--run", required=True, help="name of the run; the same name goes on where it stopped")
    made.add_argument("--in-doubt", action="store_true", help="try every candidate: something other than growth asked")
    made.add_argument("--onset", type=_entry.instant, help="since when the world is different, if that is known")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(retrain, arguments()))
