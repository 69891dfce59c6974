"""Judge a version on rows later in time than its training, against the gates and against the champion.

Reads:  lake: raw, predictions, labels; catalog: versions, aliases
Writes: catalog: journal
"""

import argparse
import sys
from datetime import UTC, datetime

from heliostat.errors import TrainingError
from jobs import _entry
from jobs._ending import judging
from jobs._judging import best, judge, judged_twin


def evaluate(job: _entry.Job) -> _entry.Result:
    """The verdict and its reasons, or why there is none, also in the journal; nothing is promoted."""
    named = job.options.version
    numbers = _newest(job) if named is None else [judged_twin(job, named)]
    with judging(job, numbers):
        found = best(judge(job, numbers, as_of=job.options.as_of)).as_dict()
    job.catalog.append("judged", job.workload.name, found, by=job.by, at=datetime.now(UTC))
    for reason in found["reasons"]:
        print(f"{found['verdict']}: {reason}", flush=True)
    return found


def _newest(job: _entry.Job) -> list[int]:
    """The versions of the newest run."""
    versions = job.catalog.versions(job.workload.name)
    if not versions:
        raise TrainingError(f"Workload {job.workload.name!r} has no version to judge; run jobs.train first.")
    return [version.number for version in versions if version.run_id == versions[-1].run_id]


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--version", type=int, help="which version (default: the best of the newest run)")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(evaluate, arguments()))
