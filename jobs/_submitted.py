"""A job that a person starts outside the cluster: submitted to it with the code of this directory, and shown here."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cluster import submit
from heliostat.errors import HeliostatError
from heliostat.settings import Settings
from heliostat.workload import load
from jobs import _terminal

INTERRUPTED = 130


def run(verb: str, module: str, *, argv: Sequence[str]) -> int:
    """The exit code of `jobs.<verb>` with these arguments, run as a Ray job; its output is shown as it comes."""
    try:
        settings, name = Settings.from_env(), load(module).name
        submission_id = submit.submit(
            settings,
            f"jobs.{verb}",
            arguments=argv,
            submission_id=f"{name}-{verb}-{datetime.now(UTC):%Y%m%dT%H%M%S}",
            tags=submit.JobTags(job_class=verb, workload=name),
            working_dir=Path.cwd(),
        )
        return _shown(settings, submission_id, name)
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


def _shown(settings: Settings, submission_id: str, workload: str) -> int:
    try:
        with _terminal.output(settings, workload, indent="") as shown:
            state = submit.follow(settings, submission_id, write=shown)
    except KeyboardInterrupt:
        print(f"interrupted; the job {submission_id} goes on. `ray job stop {submission_id}` ends it.", file=sys.stderr)
        return INTERRUPTED
    return 0 if state.status == submit.SUCCEEDED else state.exit_code or 1
