"""The shell that every job shares: arguments, connection, one JSON result line, one clear sentence on failure."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from actors import handles
from cluster.connect import connect
from cluster.environment import inside_cluster
from heliostat.errors import HeliostatError
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.workload import Workload, load
from jobs import _submitted

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every job works with; `catalog` is the actor, which must be up when asked (`jobs.deploy` starts it)."""

    settings: Settings
    module: str
    workload: Workload
    lake: Lake
    catalog: Catalog
    options: argparse.Namespace

    @property
    def by(self) -> str:
        """Who did it, for the journal."""
        return str(self.options.by)


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every job takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("workload", help="the module that declares it, for example workloads.flights")
    made.add_argument("--by", default="admin", help="who asks, for the journal (default: %(default)s)")
    return made


def instant(text: str) -> datetime:
    """An ISO 8601 date or time, in UTC; without an offset it is UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2013-03-01 or 2013-03-01T06:00") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def run(
    work: Callable[[Job], Result],
    arguments: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    *,
    verb: str | None = None,
) -> int:
    """Run one job and return its exit code; the last line printed is its result as JSON.

    With a `verb` it needs the cluster's own code: outside the cluster `jobs.<verb>` is submitted to it, and shown.
    """
    options = arguments.parse_args(argv)
    if verb is not None and not inside_cluster():
        return _submitted.run(verb, options.workload, argv=sys.argv[1:] if argv is None else argv)
    started_at = time.monotonic()
    workload = None
    try:
        settings = Settings.from_env()
        workload = load(options.workload)
        connect(settings)
        job = Job(
            settings=settings,
            module=options.workload,
            workload=workload,
            lake=Lake(settings.lake_uri),
            catalog=handles.catalog(),
            options=options,
        )
        result = work(job)
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except (Exception, SystemExit) as error:
        told = None if workload is None else _own_fault(workload, error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr, flush=True)
        return 1
    print(json.dumps({**result, "seconds": round(time.monotonic() - started_at, 1)}, default=str), flush=True)
    return 0


def _own_fault(workload: Workload, error: BaseException) -> str | None:
    from heliostat.learn.faults import own_fault  # torch, which not every job needs

    return own_fault(workload, error)
