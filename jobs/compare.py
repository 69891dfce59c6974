"""Two versions on the same live rows: how often they agree, how far apart they are, how long each takes, and where.

Reads:  lake: predictions, shadows, labels; catalog: aliases, turns, journal
Writes: with --plot, a PNG; with --json, nothing but the result line on standard output

One of the two answered a row and the other was asked for it afterwards, while a trial ran (shadow or canary). Without
`--version` it is the candidate that is on trial, or was in the last turn; without `--against` whichever it was tried
beside. Rows that no version could be asked about in time are counted as not asked.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from actors.shut_out import shut_out
from actors.trial import compared, on_trial, refuse_nothing
from jobs import _compare_plot, _entry
from jobs._compare_text import render

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)


def compare(job: _entry.Job) -> _entry.Result:
    """The figures, as a table for people unless `--json` is given."""
    options, workload = job.options, job.workload
    version = options.version or on_trial(job.catalog, workload.name)
    found, rows = compared(
        job.lake,
        workload.name,
        tuple(workload.columns),
        version=version,
        against=options.against,
        since=options.since or FIRST,
        clock=options.until or LAST,
        task=workload.task,
        shut_out=shut_out(job.catalog, workload.name),
    )
    refuse_nothing(found, options.against)
    result = {"workload": workload.name, **found.to_json()}
    if not options.json:
        print(render(workload.name, found), flush=True)
    if options.plot:
        _compare_plot.draw(options.plot, rows, found, task=workload.task, title=workload.name)
        result["plot"] = str(options.plot)
    return result


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--version", type=int, help="the version that is looked at (default: the one on trial)")
    made.add_argument("--against", type=int, help="the version beside it (default: whichever)")
    made.add_argument("--since", type=_entry.instant, help="first instant of the rows (default: all)")
    made.add_argument("--until", type=_entry.instant, help="last instant of rows and labels (default: all)")
    made.add_argument("--json", action="store_true", help="print the result line alone")
    made.add_argument("--plot", type=Path, metavar="PNG", help="draw it, too")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(compare, arguments()))
