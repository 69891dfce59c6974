"""Play past rows through the HTTP endpoint in event order, with labels as they became known.

Reads:  the workload's source
Writes: requests and labels over HTTP; moves the replayed clock of monitor and steward

The replayed clock is moved by this job alone. After each replayed day it waits until recorder, monitor and
steward have reached that day, and while a turn trains; so a replay repeated gives the same decisions.

With --what-if nothing is asked, fitted or changed: the turns of the period are worked out again from the journal
under other limits of the loop, as in --what-if cooldown=1d,max_follow_up_rows=2000,ignore=age+growth. What the
monitor asked for is taken as it was; a turn that starts when one did ends as that did, any other is assumed to end as
the nearest did, and is marked. With --what-if "" (the same limits) the same turns come out.

With --compare nothing is asked or changed either: what the loop was worth in a period that was replayed (or lived
through) is compared with never learning again, calendars, and as many turns at even distances, on the rows that it
answered, as jobs.simulate does for a table; it writes results/<workload>-compare.json and .png. The others fit the
workload's own model about 70 times, as tasks of one CPU each.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from actors import handles
from actors.steward import CLOCK, WALL
from heliostat.errors import ClusterError, LakeError, WorkloadError
from heliostat.intake import take
from heliostat.traffic import DAY, Traffic, floor
from jobs import _entry
from jobs._caller import Caller, Tally
from jobs._what_if import show_what_if

WAIT_S = 0.25
NUM_TRIES = 10
RESTART_S = 2.0  # an actor that was killed is back in about a second
Answer = TypeVar("Answer")


def replay(job: _entry.Job) -> _entry.Result:
    """Replay from `--since` to `--until`; the result counts what was asked and answered."""
    if job.options.what_if is not None:
        return show_what_if(job)
    if job.options.compare:
        from jobs._replay_compare import show_comparison  # it draws: the extra `report`, which a replay does not need

        return show_comparison(job)
    _refuse_at_another_clock(job)
    since, until = job.options.since, job.options.until
    traffic = Traffic(_rows(job, since=since, until=until))
    print(f"replaying {traffic.num_rows:,} rows from {since:%Y-%m-%d} to {until:%Y-%m-%d}", flush=True)
    started_at = time.monotonic()
    tally = asyncio.run(_play(job, traffic, since=since))
    seconds = time.monotonic() - started_at
    result = {"since": since, "until": until, "replay_seconds": round(seconds, 1), **tally.as_dict()}
    stored = result | {"since": since.isoformat(), "until": until.isoformat()}
    job.catalog.put_state(job.workload.name, "replay", stored, by=job.by, at=datetime.now(UTC))
    return result


def _refuse_at_another_clock(job: _entry.Job) -> None:
    stored = job.catalog.get_state(job.workload.name, CLOCK)
    if stored is None or stored["mode"] == WALL:
        raise WorkloadError(
            f"The loop of {job.workload.name!r} follows the wall's clock, so a replay could not move it. "
            "Deploy it for a replay first: jobs.deploy --clock replayed."
        )


def _rows(job: _entry.Job, *, since: datetime, until: datetime) -> pa.Table:
    # Past `until` in time but not in rows: every label that the world ever gave is handed out at its own time.
    far = datetime.max.replace(tzinfo=until.tzinfo, year=2200)
    source = job.workload.source
    parts = [take(job.workload, source.read(part), since=since, until=far).good for part in source.parts()]
    rows = pa.concat_tables(parts)
    return rows.filter(pc.less(rows["event_at"], pa.scalar(until, rows["event_at"].type)))


async def _play(job: _entry.Job, traffic: Traffic, *, since: datetime) -> Tally:
    loop = asyncio.get_running_loop()
    progress = Progress(since=since, ends_at=traffic.ends_at)
    async with Caller(job) as caller:
        day = floor(since, DAY)
        while day < traffic.ends_at:
            for span in traffic.day(day):
                await caller.ask(span.requests)
                await caller.tell(span.labels)
            day += DAY
            await loop.run_in_executor(None, _settle, job, day, progress)
            progress.show(day, caller.tally)
        return caller.tally


def _settle(job: _entry.Job, clock: datetime, progress: "Progress") -> None:
    """Wait until recorder, monitor and steward have reached `clock`, and until no turn trains."""
    name = job.workload.name
    _insist(handles.recorder(name).drain)
    while (status := _insist(lambda: handles.steward(name).advance(clock))).busy:
        progress.turn(status.summary)
        time.sleep(WAIT_S)
    progress.turn(status.summary)


def _insist(ask: Callable[[], Answer]) -> Answer:
    """The answer of an actor that is lost, or cannot do it, for a while; only for calls that may be made twice."""
    for _ in range(NUM_TRIES - 1):
        try:
            return ask()
        except (ClusterError, LakeError) as error:
            print(f"  {error}", flush=True)
            time.sleep(RESTART_S)
    return ask()


class Progress:
    """Plain lines for a log: one for every change of the loop, and one every few seconds."""

    def __init__(self, *, since: datetime, ends_at: datetime, every_s: float = 5.0) -> None:
        self._since, self._ends_at, self._every_s = since, ends_at, every_s
        self._shown_at = time.monotonic()
        self._summary = ""

    def turn(self, summary: str) -> None:
        """Say what the loop does, when it does something else than before."""
        if summary != self._summary:
            self._summary = summary
            print(f"  loop: {summary}", flush=True)

    def show(self, clock: datetime, tally: Tally) -> None:
        """Say how far the replay is, if it has been silent for a while."""
        now = time.monotonic()
        if now - self._shown_at < self._every_s and clock < self._ends_at:
            return
        self._shown_at = now
        share = (clock - self._since) / (self._ends_at - self._since)
        print(
            f"replay {share:4.0%}  {clock:%Y-%m-%d}  {tally.num_requests:,} requests, {tally.num_labels:,} labels, "
            f"{tally.num_failed} failed",
            flush=True,
        )


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--since", type=_entry.instant, required=True, help="first instant that is replayed")
    made.add_argument("--until", type=_entry.instant, required=True, help="rows from here on are not replayed")
    made.add_argument("--connections", type=int, default=8, help="requests in flight at once (default: %(default)s)")
    other = made.add_mutually_exclusive_group()
    other.add_argument("--what-if", metavar="CHANGES", help="work the period's turns out again; nothing is replayed")
    other.add_argument("--compare", action="store_true", help="what else could have been done; nothing is replayed")
    made.add_argument("--json", type=Path, metavar="OUT", help="of --compare (default: below results)")
    made.add_argument("--plot", type=Path, metavar="OUT.png", help="of --compare (default: below results)")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(replay, arguments()))
