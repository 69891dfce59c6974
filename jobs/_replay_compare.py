"""A period that was lived through, and what else could have been done: the table of `jobs.simulate` for a workload.

The loop's answers, turns and costs are what the tables and the journal hold; never again, calendars and even distances
answer the same rows with the workload's own model, side by side as Ray tasks.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from actors.shut_out import shut_out
from cluster import resources
from heliostat import cohorts
from heliostat.errors import NotFoundError, WorkloadError
from heliostat.govern.candidates import ALL
from heliostat.learn.tuned import configured
from heliostat.records import ModelVersion
from heliostat.simulate.comparison import rivals
from heliostat.simulate.declared import Declared, declared_stream, is_long_enough
from heliostat.simulate.judged import Champion
from heliostat.simulate.outcome import LOOP, Outcome, outcome
from heliostat.simulate.play import Played, Turning, play
from heliostat.simulate.stream import Stream
from heliostat.simulate.turns import Trainer
from heliostat.store.bundles import read_bundle
from heliostat.store.schema import raw_schema
from heliostat.watch.delays import with_due
from heliostat.workload import Workload
from jobs import _entry, _room, _simulation_plot, _simulation_text
from jobs._declared_learner import DeclaredLearner, left_out
from jobs._judging import fitted_until
from jobs._live_account import account_of
from jobs._windows import is_all_history


@dataclass(frozen=True, kw_only=True)
class Rivalry:
    """All that a policy is played from; it travels to other processes."""

    stream: Stream
    workload: Workload
    first: ModelVersion
    judging: Declared
    num_turns: int

    @property
    def names(self) -> list[str]:
        """The policies that there are."""
        return list(self._turnings(DeclaredLearner(self.workload)))

    def played(self, name: str) -> Played:
        """The answers of one policy, which starts from the version that answered first."""
        learner, first = DeclaredLearner(self.workload), self.first
        champion = Champion(
            number=1,
            model=learner.loaded(read_bundle(first.bundle_uri, first.bundle_hash)),
            name=ALL if is_all_history(first.candidate) else first.candidate,
            until_row=self._until_row,
            num_rows=int(first.lineage["num_rows"]),
        )
        turning = self._turnings(learner)[name]
        return play(self.stream, champion, turning, clock=time.process_time, tell=lambda text: None)

    def _turnings(self, learner: DeclaredLearner) -> dict[str, Turning]:
        return rivals(self.stream, Trainer(self.stream, learner, self.judging), num_turns=self.num_turns)

    @property
    def _until_row(self) -> int:
        """The rows before the last that the first version was fitted to."""
        events = self.stream.inputs["event_at"]
        is_seen = pc.less_equal(events, pa.scalar(fitted_until(self.first), events.type))
        return int(pc.sum(is_seen).as_py() or 0)


Runner = Callable[[Rivalry], Mapping[str, Played]]


def show_comparison(job: _entry.Job, *, run: Runner | None = None) -> _entry.Result:
    """Print the table for `--since` to `--until`, and write what was asked for."""
    options = job.options
    found, remarks, first_rows = compared(job, since=options.since, until=options.until, run=run or side_by_side)
    title = f"{job.workload.name}, {options.since:%Y-%m-%d} to {options.until:%Y-%m-%d}"
    print(_simulation_text.render(found, title=title, remarks=remarks), flush=True)
    written = _simulation_text.as_json(found, remarks=remarks)
    job.settings.results_dir.mkdir(parents=True, exist_ok=True)
    stem = job.settings.results_dir / f"{job.workload.name}-compare"
    paths = {
        "json": (options.json or stem.with_suffix(".json")).resolve(),
        "plot": (options.plot or stem.with_suffix(".png")).resolve(),
    }
    paths["json"].write_text(json.dumps(written, indent=1, default=str))
    _simulation_plot.draw(paths["plot"], found, first_rows=first_rows, title=title)
    short = ("score", "metric", "turns", "best_schedule", "best_gain", "gain_share", "verdict")
    return {**{name: written[name] for name in short}, **{name: str(path) for name, path in paths.items()}}


def compared(job: _entry.Job, *, since: datetime, until: datetime, run: Runner) -> tuple[Outcome, list[str], int]:
    """The outcome, what is to be known beside it, and how many rows there were before the period."""
    if job.workload.asks:
        raise WorkloadError(
            f"Workload {job.workload.name!r} asks others, whose past answers --compare cannot make; compare a workload "
            "that asks nobody."
        )
    history, _ = cohorts.parted(cohorts.training_rows(job.lake, job.workload, as_of=until), at=since)
    known = _known_by(history, since)
    asked = _asked(job, since=since, until=until)
    if not is_long_enough(known, asked):
        raise NotFoundError(
            f"{known.num_rows} labelled rows before {since:%Y-%m-%d} and {asked.num_rows} answered ones with a label "
            f"until {until:%Y-%m-%d} are too few to compare; run jobs.replay first, or give a longer period."
        )
    first = _first_version(job, asked)
    workload = configured(job.workload, first.lineage.get("configuration", {}))
    stream = declared_stream(workload, history, asked, since=since)
    judging = Declared.of(workload, known, window_rows=int(first.lineage["num_rows"]))
    events = pa.chunked_array([*history["event_at"].chunks, *asked["event_at"].chunks])
    account = account_of(job, events, since=since, until=until)
    account.num_watched = asked.num_rows
    loop = Played(answers=job.workload.task.answers(asked), account=account)
    rivalry = Rivalry(stream=stream, workload=workload, first=first, judging=judging, num_turns=account.num_turns)
    found = outcome(stream, {LOOP: loop, **run(rivalry)})
    remarks = [*_remarks(workload, judging, first), *_taught_otherwise(job, since=since, until=until)]
    return found, remarks, history.num_rows


def _known_by(rows: pa.Table, at: datetime) -> pa.Table:
    """The rows that were due by then, and their label known."""
    moment = pa.scalar(at, cohorts.INSTANT)
    return rows.filter(pc.and_(pc.less_equal(rows["due_at"], moment), pc.less_equal(rows["label_known_at"], moment)))


def _asked(job: _entry.Job, *, since: datetime, until: datetime) -> pa.Table:
    """The answered rows of the period with a label by now, in order of time."""
    rows = cohorts.answered(job.lake, job.workload, since=since)
    rows = rows.filter(pc.less(rows["event_at"], pa.scalar(until, rows["event_at"].type)))
    answers = job.workload.task.answers(rows)
    told = answers.reshape(rows.num_rows, int(np.prod(answers.shape[1:])))
    return with_due(rows.filter(pa.array(np.isfinite(told).all(axis=1))), as_of=until)


def _first_version(job: _entry.Job, asked: pa.Table) -> ModelVersion:
    """The version that answered first, which is what never learning again would have kept."""
    is_champion = pc.and_(pc.equal(asked["arm"], "champion"), pc.invert(pc.fill_null(asked["degraded"], False)))
    answered = asked.filter(pc.fill_null(is_champion, False))
    if not answered.num_rows:
        raise NotFoundError("No champion answered in that period, so there is nothing to compare; give another one.")
    return job.catalog.version(job.workload.name, answered["version"][0].as_py())


def side_by_side(rivalry: Rivalry) -> dict[str, Played]:
    """All policies as Ray tasks, as many at once as the cluster has room for."""
    _room.say_if_full(num_cpus=resources.COMPARE_CPUS)
    task, shared = ray.remote(num_cpus=resources.COMPARE_CPUS)(Rivalry.played), ray.put(rivalry)
    waiting: dict[Any, str] = {task.remote(shared, name): name for name in rivalry.names}
    found: dict[str, Played] = {}
    while waiting:
        [ready], _ = ray.wait(list(waiting), num_returns=1)
        name = waiting.pop(ready)
        found[name] = ray.get(ready)
        account = found[name].account
        print(f"{name}: {account.num_turns} turns, {account.num_fits} fits, {account.cpu_s:.0f} CPU-s", flush=True)
    return {name: found[name] for name in rivalry.names}


def _taught_otherwise(job: _entry.Job, *, since: datetime, until: datetime) -> list[str]:
    """Rows and labels that the loop learned from and the others did not, and the other way round."""
    days = [("event_date", ">=", since.date()), ("event_at", ">=", since), ("event_at", "<", until)]
    names = ["event_at", "label"]
    raw = job.lake.read(job.workload.name, "raw", columns=names, where=days, schema=raw_schema(()))
    num_rows = raw.num_rows - raw["label"].null_count
    found = []
    if num_rows:
        found.append(f"{num_rows:,} rows of the period were ingested with their label: they taught the loop alone.")
    if shut_out(job.catalog, job.workload.name):
        found.append("The loop did not learn from labels that were shut out; the others do.")
    return found


def _remarks(workload: Workload, judging: Declared, first: ModelVersion) -> list[str]:
    """What makes the loop and the others differ beside when they learned."""
    found = [
        f"Never again is version {first.number}, which answered first; the others fit the workload's own model, as "
        "jobs.train does. Distances are shares of the answered rows.",
        "The loop is what was lived through: its answers, with shadow, canary and the time that runs took; its "
        "CPU-seconds are of whole runs with the start of processes, those of the others of fits and judging alone.",
    ]
    missing = left_out(workload, judging.gates)
    if missing:
        found.append(f"Even distances are judged without {', '.join(missing)}, which the loop was.")
    return found
