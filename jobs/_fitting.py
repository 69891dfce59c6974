"""What a Ray Train worker does in one run: fit each candidate in turn, write its bundle, keep a checkpoint an epoch."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.train
import ray.train.torch

from heliostat.errors import ContractError, HeliostatError, TrainingError, WorkloadError
from heliostat.learn import parallel
from heliostat.learn.attempts import used_s
from heliostat.learn.epochs import OnStep, Step
from heliostat.learn.faults import RAISED, is_out_of_memory, own_fault
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.objective import calibration_from_json
from heliostat.learn.run_epochs import IsOver, OnEpoch
from heliostat.learn.streamed import here
from heliostat.learn.trees import KIND as TREES
from heliostat.learn.tuned import configured
from heliostat.store.bundles import read_bundle
from heliostat.workload import Workload, load
from jobs import _attempts, _shards, _staging, _written
from jobs._attempts import Trace
from jobs._contest import Contest, Version
from jobs._fit_run import FitRun, known_rows
from jobs._fit_time import FitTime
from jobs._lineage import CUT, lineage_of
from jobs._progress import CPU_S, Progress
from jobs._step_metrics import watched
from jobs._timeline import Earlier, Rows
from jobs._warm_start import started_from
from jobs._windows import (
    REFIT,
    Candidate,
    Parts,
    candidates,
    holdout_at,
    parts,
    streamed_parts,
    warm_candidate,
)


def fit_candidates(config: dict[str, Any]) -> list[dict[str, Any]]:
    """What `_fit_all` gives; where the rows or the workload make that impossible, one entry with the `error`.

    Where a turn has too few rows to judge anybody on, one entry that says so (`held`).

    Returned, not raised, by one worker: Ray would start it again, and the same rows would fail again. Of several one
    alone may know, while the others wait for its gradients; so it raises, and Ray ends them all (`jobs._elastic`).
    """
    run = FitRun(**config)
    try:
        with _attempts.traced(run.attempts_dir, rank=parallel.own_rank()) as trace:
            return _fit_all(run, trace)
    except RAISED as error:
        told = _told(run, error)
        if told is None:
            raise
        if parallel.num_ranks() > 1:
            raise TrainingError(told) from error
        return [{"error": told, CPU_S: time.process_time()}]


def _told(run: FitRun, error: BaseException) -> str | None:
    """One sentence where another attempt would end in the same way; None where it may go better."""
    if isinstance(error, TrainingError | ContractError | WorkloadError):
        return str(error)
    if is_out_of_memory(error):
        return (
            f"The run {run.run_id!r} has no memory left ({error}); lower Training(batch_size), train on a shorter "
            "window, or read rows while learning (stream=True)."
        )
    return None if isinstance(error, HeliostatError) else own_fault(load(run.module), error)


def _fit_all(run: FitRun, trace: Trace) -> list[dict[str, Any]]:
    """Fit the candidates of a run that can win; every worker returns the same list.

    Each is fitted without the hold-out, which is what the gates judge. Then the winner, or before the first champion
    each of them, is fitted again with the hold-out, and that takes traffic when the first fit passed.
    """
    before_s = used_s(_attempts.attempts_in(run.attempts_dir))
    workload = _attempts.marked(configured(load(run.module), run.configuration), trace)
    rows: Rows = known_rows(run, workload) if run.rows_dir is None else _staging.opened(run)
    progress = Progress.resumed(trace)
    until = holdout_at(workload, rows, run.onset_at)
    contest = Contest(
        workload,
        rows if isinstance(rows, pa.Table) else rows.rows(rows.before(until), rows.num_rows),
        champion=None if run.champion is None else Version(**run.champion),
        holdout_at=until,
    )
    if run.is_turn and run.champion is not None and not contest.is_open:
        return [{"held": contest.too_few}]
    start = started_from(run, workload)
    planned = candidates(
        workload,
        contest.rows_before if isinstance(rows, pa.Table) else Earlier(rows, rows.before(until)),
        as_of=run.as_of,
        onset_at=run.onset_at,
        num_recent=run.num_recent,
        is_contest=contest.is_open,
        warm=None if start is None else warm_candidate(start, since=contest.begins_after),
    )
    fit_time = FitTime(workload.training.fit_time, trace, before_s=before_s)
    tried = [candidate for candidate in planned if run.only in (None, candidate.name)]
    for place, candidate in enumerate(tried):
        if progress.done and candidate.name not in progress.done and fit_time.is_up:
            print(f"candidate {candidate.name} is left out: {fit_time.limit} have passed", flush=True)
            progress.state = None  # it may have been under way
            continue
        if not contest.can_win(candidate, onset_at=run.onset_at):
            print(f"candidate {candidate.name} is left out: rows since the change surely beat the champion", flush=True)
            continue
        if candidate.name not in progress.done:
            chosen = _parts(workload, rows, candidate, holdout_at=contest.holdout_at)
            num_judged = len(tried) - place
            num_again = 1 if contest.is_open else num_judged
            is_over = fit_time.is_over(chosen, num_judged=num_judged, num_again=num_again)
            found = _fit_judged(run, workload, chosen, progress, candidate=candidate, is_over=is_over)
            progress.finish(candidate.name, found)
        contest.add(candidate, progress.done[candidate.name])
        if not contest.is_open:
            _finish_again(run, workload, rows, progress, contest=contest, candidate=candidate)
    if contest.is_open:
        _finish_again(run, workload, rows, progress, contest=contest, candidate=contest.winner())
    return list(progress.done.values())


def _finish_again(
    run: FitRun,
    workload: Workload,
    rows: Rows,
    progress: Progress,
    *,
    contest: Contest,
    candidate: Candidate,
) -> None:
    again = f"{candidate.name}{REFIT}"
    if again not in progress.done:
        chosen = _parts(workload, rows, candidate, holdout_at=contest.holdout_at)
        judged = progress.done[candidate.name]
        progress.finish(again, _fit_again(run, workload, chosen, progress, candidate=candidate, judged=judged))


def _parts(workload: Workload, rows: Rows, candidate: Candidate, *, holdout_at: datetime) -> Parts:
    if isinstance(rows, pa.Table):
        return parts(workload, rows, candidate, holdout_at=holdout_at)
    # Without Ray, as in a test of one process, there is nobody to read ahead.
    deliver = _shards.delivered if ray.is_initialized() else here
    return streamed_parts(workload, rows, candidate, holdout_at=holdout_at, deliver=deliver)


@contextmanager
def _watched(
    run: FitRun, workload: Workload, progress: Progress, *, name: str, kind: str
) -> Iterator[tuple[OnStep, OnEpoch]]:
    unit, place = ("round", _attempts.BETWEEN_STEPS) if kind == TREES else ("epoch", _attempts.network_place(workload))
    tags = {"workload": workload.name, "run_id": run.run_id, "candidate": name}
    with watched(run.events_dir, **tags, unit=unit, on_epoch=progress.keep) as (on_step, on_epoch):
        progress.trace.begin(name, after_step=place)

        def on_each(step: Step) -> None:
            progress.trace.step_done(step.number)
            on_step(step)

        yield on_each, on_epoch


def _fit_judged(
    run: FitRun,
    workload: Workload,
    chosen: Parts,
    progress: Progress,
    *,
    candidate: Candidate,
    is_over: IsOver | None,
) -> dict[str, Any]:
    with _watched(run, workload, progress, name=candidate.name, kind=candidate.kind) as (on_step, on_epoch):
        fits = fit_trees if candidate.kind == TREES else partial(fit, device=str(ray.train.torch.get_device()))
        fitted = fits(
            workload,
            chosen.train,
            chosen.validation,
            seed=workload.training.seed,
            on_epoch=on_epoch,
            on_step=on_step,
            resume=progress.state,
            start=candidate.start,
            is_over=is_over,
        )
    later_loss = fitted.history[fitted.best_epoch].validation_loss
    unit = "rounds" if candidate.kind == TREES else "epochs"
    cut = f"; ended after {len(fitted.history)} {unit}, its share of fit_time was over" if fitted.is_cut else ""
    print(f"candidate {candidate.name}: {fitted.num_rows:,} rows, loss on later rows {later_loss:.4f}{cut}", flush=True)
    lineage = lineage_of(run, fitted, chosen, name=candidate.name, start=candidate.start)

    def written() -> dict[str, Any]:
        scores = _written.scores(workload, fitted, chosen.validation)
        return _written.write(run, workload, fitted, chosen.before, lineage=lineage, scores=scores)

    progress.trace.at("scoring its answers")
    return parallel.first_gives(written)


def _fit_again(
    run: FitRun, workload: Workload, chosen: Parts, progress: Progress, *, candidate: Candidate, judged: dict[str, Any]
) -> dict[str, Any]:
    name = f"{candidate.name}{REFIT}"
    files = read_bundle(judged["bundle_uri"], judged["bundle_hash"])
    num_epochs = json.loads(files["lineage.json"])["best_epoch"] + 1
    calibration = calibration_from_json(workload.task, files["calibration.json"].decode())
    with _watched(run, workload, progress, name=name, kind=candidate.kind) as (on_step, on_epoch):
        if candidate.kind == TREES:
            fits = partial(refit_trees, num_rounds=num_epochs)
        else:
            fits = partial(refit, num_epochs=num_epochs, device=str(ray.train.torch.get_device()))
        fitted = fits(
            workload,
            chosen.all,
            calibration=calibration,
            seed=workload.training.seed,
            on_epoch=on_epoch,
            on_step=on_step,
            resume=progress.state,
            start=candidate.start,
        )
    lineage = {**lineage_of(run, fitted, chosen, name=name, start=candidate.start), "refit_of": judged["candidate"]}
    if judged["lineage"].get(CUT):
        lineage[CUT] = True
    print(f"candidate {name}: {fitted.num_rows:,} rows, nothing held back", flush=True)
    return parallel.first_gives(
        lambda: _written.write(run, workload, fitted, chosen.all, lineage=lineage, scores=judged["scores"])
    )
