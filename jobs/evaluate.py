"""Judge a version on rows later in time than its training, against the gates and against the champion.

Reads:  lake: raw, predictions, labels; catalog: versions, aliases
Writes: catalog: journal
"""

import argparse
import sys
from datetime import UTC, datetime

from jobs import _entry
from jobs._judging import judge, judged_twin


def evaluate(job: _entry.Job) -> _entry.Result:
    """The verdict and its reasons, also in the journal; nothing is promoted."""
    version = job.options.version or job.catalog.versions(job.workload.name)[-1].number
    (judgement,) = judge(job, [judged_twin(job, version)], as_of=job.options.as_of)
    found = judgement.as_dict()
    job.catalog.append("judged", job.workload.name, found, by=job.by, at=datetime.now(UTC))
    for reason in found["reasons"]:
        print(f"{found['verdict']}: {reason}", flush=True)
    return found


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--version", type=int, help="which version (default: the newest)")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(evaluate, arguments()))
