"""Search the workload's declared space on what was known at `--as-of`, then train the best as any run would.

Reads:  lake: raw, predictions, labels; catalog: aliases
Writes: bundles; catalog: versions, runs; results/<workload>-tune.json and .png

Trials use what nobody else does: none begins without room, and one pauses after an epoch, or 50 rounds of trees, when
others need its place.
A run has a name; the same name again goes on where the last attempt stopped, and registers nothing twice.
"""

import argparse
import json
import math
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import optuna
import pyarrow as pa
from ray import tune
from ray.tune.search import ConcurrencyLimiter

from cluster import resources
from heliostat.declared.training import Training
from heliostat.declared.tuning import Tuning
from heliostat.learn.room import Demand, takes_gpus
from heliostat.learn.tuned import declared_point
from heliostat.workload import Workload
from jobs import _entry, _room, _tuning, _tuning_bar, _tuning_plot, _tuning_text
from jobs._ending import ending
from jobs._fit_run import FitRun, known_rows
from jobs._reached import EVENTS_DIR, ReachedFile
from jobs._tuning_search import FillingScheduler, FillingSearch, Room, domain
from jobs._windows import Candidate, Parts, candidates, holdout_at, parts
from jobs.train import FitFailedError, fit_run, started

MAX_LOST_WORKERS = 3
BEST = "-best"
COMPARED_FILE = "compared"  # in the search's folder, of which Ray copies .json and .pkl about


def tune_workload(job: _entry.Job) -> _entry.Result:
    """Search, train with the best configuration and register; the result has the versions and the settings."""
    tuning = _tuning.declared(job.workload)
    run_id = job.options.run or f"{job.workload.name}-tune-{job.options.as_of:%Y%m%dT%H%M}"
    run = replace(started(job, run_id=run_id, as_of=job.options.as_of, verb="tune"), configuration={})
    with ending(job, run_id):
        result = _searched(job, run, tuning)
    job.catalog.end_run(run_id, status="succeeded", result=result, by=job.by, at=datetime.now(UTC))
    return result


def _searched(job: _entry.Job, run: FitRun, tuning: Tuning) -> _entry.Result:
    rows = known_rows(run, job.workload)
    until = holdout_at(job.workload, rows)
    candidate = _tuned_candidate(job.workload, rows, run, kind=tuning.kind)
    chosen = parts(job.workload, rows, candidate, holdout_at=until)
    print(
        f"tuning on {chosen.train.num_rows:,} rows, scored on {chosen.validation.num_rows:,} later ones by "
        f"{tuning.metric or 'the loss'}; at most {tuning.num_trials} trials, {tuning.max_concurrent} at once",
        flush=True,
    )
    trials = _ranked(_search(job, run, chosen, tuning), tuning)
    _refuse_without_model(run, trials, tuning)
    report = _report(job, run, trials, tuning)
    best = trials[0]
    return {**report, "best": best, "versions": _fit_best(job, run, best, candidate=candidate)}


def _refuse_without_model(run: FitRun, trials: list[dict[str, Any]], tuning: Tuning) -> None:
    """FitFailedError where no trial has a score, and where the space is another than the one that was searched."""
    again = "give the search a new name with --run"
    if not trials:
        raise FitFailedError(
            f"No trial of {run.run_id!r} began within Tuning(time_limit={tuning.time_limit}): others had all the room; "
            f"give it longer, or more room, and {again}."
        )
    if trials[0]["score"] is None:
        first = trials[0]["error"] or f"no epoch ended within Tuning(time_limit={tuning.time_limit})"
        raise FitFailedError(f"No trial of {run.run_id!r} gave a model; the first one says: {first}")
    searched = list(trials[0]["configuration"])
    if set(searched) != set(tuning.space):
        raise FitFailedError(
            f"The search {run.run_id!r} was begun over {', '.join(searched)}, and Tuning(space=...) has "
            f"{', '.join(tuning.space)} now; {again}, or declare the former space."
        )


def _tuned_candidate(workload: Workload, rows: pa.Table, run: FitRun, *, kind: str) -> Candidate:
    """The first declared window, of the kind that is tuned."""
    found = candidates(workload, rows, as_of=run.as_of, onset_at=None)
    return next(each for each in found if each.kind == kind)


def _search(job: _entry.Job, run: FitRun, chosen: Parts, tuning: Tuning) -> tune.ResultGrid:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # its own lines would stand between ours
    training = job.workload.training
    uses_gpu = tuning.kind == "network" and takes_gpus(training.use_gpu, num_workers=1, num_gpus=_room.cluster_gpus())
    trainable = tune.with_resources(
        tune.with_parameters(
            _tuning.trial,
            module=job.module,
            device="cuda" if uses_gpu else "cpu",
            train=chosen.train,
            validation=chosen.validation,
        ),
        {"cpu": _trial_cpus(training), **({"gpu": 1} if uses_gpu else {})},
    )
    path = str(job.settings.runs_dir / run.run_id)
    if tune.Tuner.can_restore(path):
        print(f"going on with {run.run_id}", flush=True)
        return tune.Tuner.restore(path, trainable=trainable, resume_errored=True).fit()
    tuner = tune.Tuner(
        trainable,
        tune_config=_tune_config(job.workload, tuning, uses_gpu=uses_gpu, kept_in=f"{path}/{COMPARED_FILE}"),
        run_config=tune.RunConfig(
            name=run.run_id,
            storage_path=str(job.settings.runs_dir),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_LOST_WORKERS),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            callbacks=[
                _tuning_text.Lines(num_trials=tuning.num_trials, higher_is_better=_tuning.is_higher_better(tuning)),
                _tuning_bar.Bar(
                    ReachedFile(job.settings.runs_dir / EVENTS_DIR / run.run_id),
                    workload=job.workload.name,
                    num_trials=tuning.num_trials,
                    higher_is_better=_tuning.is_higher_better(tuning),
                ),
            ],
        ),
    )
    return tuner.fit()


def _tune_config(workload: Workload, tuning: Tuning, *, uses_gpu: bool, kept_in: str) -> tune.TuneConfig:
    mode = "max" if _tuning.is_higher_better(tuning) else "min"
    demand = Demand(
        per_trial=1.0 if uses_gpu else _trial_cpus(workload.training),
        kept_free=0.0 if uses_gpu else resources.TUNE_CPUS_KEPT_FREE,
        max_concurrent=tuning.max_concurrent,
    )
    first = declared_point(workload, tuning)
    searcher = FillingSearch(
        Room(demand, uses_gpu=uses_gpu),
        space=FillingSearch.convert_search_space({name: domain(span) for name, span in tuning.space.items()}),
        metric=_tuning.SCORE,
        mode=mode,
        # The declared settings come first, so that the best is never worse on these rows.
        points_to_evaluate=None if first is None else [first],
        seed=tuning.seed,
    )
    return tune.TuneConfig(
        search_alg=ConcurrencyLimiter(searcher, max_concurrent=tuning.max_concurrent),
        scheduler=FillingScheduler(
            Room(demand, uses_gpu=uses_gpu),
            kept_in=kept_in,
            time_attr=_tuning.EPOCHS,
            metric=_tuning.SCORE,
            mode=mode,
            max_t=tuning.most_epochs(_declared_epochs(workload, tuning)),
            grace_period=tuning.first_compared,
            reduction_factor=tuning.reduction,
            stop_last_trials=False,
        ),
        num_samples=tuning.num_trials,
        # Ray would keep the process of a trial that ended for the next one, and with it a place that is nobody's: what
        # others need, and what the next trial waits for.
        reuse_actors=False,
        time_budget_s=None if tuning.time_limit is None else tuning.time_limit.total_seconds(),
    )


def _trial_cpus(training: Training) -> float:
    return resources.TUNE_CPUS_PER_TRIAL if training.cpus_per_worker is None else training.cpus_per_worker


def _declared_epochs(workload: Workload, tuning: Tuning) -> int:
    """The epochs, or the rounds of trees, that a trial has where the space does not say."""
    return workload.trees.rounds if tuning.kind == "trees" and workload.trees else workload.training.epochs


def _ranked(grid: tune.ResultGrid, tuning: Tuning) -> list[dict[str, Any]]:
    """All trials, the best first, numbered in the order in which they were suggested."""
    found = []
    for number in range(1, len(grid) + 1):
        result = grid[number - 1]
        last = result.metrics or {}
        score = last.get(_tuning.SCORE, math.nan)
        error = last.get(_tuning.ERROR) or (None if result.error is None else _last_line(result.error))
        if error is None and _tuning.SCORE in last and not math.isfinite(score):
            error = f"its score is {score}"
        found.append(
            {
                "trial": number,
                "score": score if math.isfinite(score) and error is None else None,
                "epochs": last.get(_tuning.EPOCHS, 0),
                "configuration": dict(result.config or last.get("config", {})),
                "error": error,
            }
        )
    sign = -1 if _tuning.is_higher_better(tuning) else 1
    return sorted(found, key=lambda each: (each["score"] is None, sign * (each["score"] or 0.0)))


def _last_line(error: Exception) -> str:
    """What a trial's process ended with: Ray puts its whole traceback before it."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _fit_best(job: _entry.Job, run: FitRun, best: dict[str, Any], *, candidate: Candidate) -> list[int]:
    """The best configuration as a run of its own, on the very tables of the search: judged as any other version."""
    run_id = f"{run.run_id}{BEST}"
    own = replace(
        run,
        run_id=run_id,
        configuration=best["configuration"],
        tuned_by={"run": run.run_id, "trial": str(best["trial"])},
        only=candidate.name,
        events_dir=str(job.settings.runs_dir / EVENTS_DIR / run_id),
    )
    params = {
        "as_of": run.as_of.isoformat(),
        "onset_at": None,
        "tables": dict(run.tables),
        "inputs": dict(run.inputs),
        "champion": None if run.champion is None else run.champion["number"],
        "code_revision": run.code_revision,
        "configuration": dict(own.configuration),
        "shut_out": [dict(span) for span in run.shut_out],
    }
    start_run = partial(job.catalog.start_run, run_id, job.workload.name, job="train", params=params, by=job.by)
    start_run(at=datetime.now(UTC))
    with ending(job, run_id):
        versions = fit_run(job, own)
    result = {"run": run_id, "versions": versions}
    job.catalog.end_run(run_id, status="succeeded", result=result, by=job.by, at=datetime.now(UTC))
    return versions


def _report(job: _entry.Job, run: FitRun, trials: list[dict[str, Any]], tuning: Tuning) -> dict[str, Any]:
    """The table printed, and stored with the plot."""
    title = f"{job.workload.name}: {len(trials)} trials of {run.run_id}, by {tuning.metric or 'loss'} on later rows"
    print(_tuning_text.table(trials, title=title), flush=True)
    job.settings.results_dir.mkdir(parents=True, exist_ok=True)
    path = job.settings.results_dir / f"{job.workload.name}-tune.json"
    path.write_text(json.dumps({"run": run.run_id, "trials": trials}, indent=1))
    plot = path.with_suffix(".png")
    _tuning_plot.draw(plot, tuning.space, trials, title=title, higher_is_better=_tuning.is_higher_better(tuning))
    return {"run": run.run_id, "num_trials": len(trials), "report": str(path), "plot": str(plot)}


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--run", help="name of the run (default: workload, tune and instant); the same name resumes")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(tune_workload, arguments(), verb="tune"))
