"""Fit candidates on what was known at `--as-of`, all in one Ray Train run, and register each as a version.

Reads:  lake: raw, predictions, labels
Writes: bundles; catalog: versions

A run has a name; the same name again goes on where the last attempt stopped, and registers nothing twice.
"""

import argparse
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer

from cluster import resources, submit
from heliostat.declared.training import Training
from heliostat.declared.tuning import Value
from heliostat.errors import HeliostatError, TrainingError
from heliostat.learn.room import takes_gpus
from heliostat.learn.source_code import collect
from heliostat.learn.tuned import kept
from heliostat.store import staged
from heliostat.workload import Workload
from jobs import _entry, _room, _staging
from jobs._attempts import attempts_dir, attempts_in
from jobs._contest import Version
from jobs._elastic import RoomTrainer
from jobs._ending import ending
from jobs._fit_run import FitRun
from jobs._fitting import fit_candidates
from jobs._giving_up import MAX_WORKER_FAILURES, given_up
from jobs._judging import fitted_until
from jobs._pinned import champions
from jobs._progress import CPU_S
from jobs._reached import EVENTS_DIR
from jobs._run_folder import mend
from jobs._screen import screened
from jobs._windows import is_all_history

ROWS_DIR = "rows"
RUN_COST = "run_cost"


def train(job: _entry.Job) -> _entry.Result:
    """Fit and register; the result lists the versions."""
    run_id = job.options.run or f"{job.workload.name}-{job.options.as_of:%Y%m%dT%H%M}"
    run = started(job, run_id=run_id, as_of=job.options.as_of)
    with ending(job, run_id):
        result = {"run": run_id, "versions": fit_run(job, run)}
    job.catalog.end_run(run_id, status="succeeded", result=result, by=job.by, at=datetime.now(UTC))
    return result


class FitFailedError(TrainingError):
    """A run that was started gives no candidate; the same rows and code would fail again.

    `cpu_s` is what it cost, where its workers could still tell.
    """

    def __init__(self, message: str, *, cpu_s: float | None = None) -> None:
        super().__init__(message)
        self.cpu_s = cpu_s


def fit_run(job: _entry.Job, run: FitRun) -> list[int]:
    """The version numbers of the candidates of a run that was started; FitFailedError when it gives none.

    What it cost is in the journal: CPU-seconds of the workers' last attempt.
    """
    try:
        fitted, cpu_s = _run_streamed(job, run) if job.workload.training.stream else _run_train(job, run)
    except FitFailedError as error:
        if error.cpu_s is not None:
            _write_cost(job, run, cpu_s=error.cpu_s, num_fits=0)
        raise
    _write_cost(job, run, cpu_s=cpu_s, num_fits=len(fitted))
    now = datetime.now(UTC)
    return [
        job.catalog.register(
            job.workload.name,
            run_id=run.run_id,
            candidate=candidate["candidate"],
            kind=candidate["kind"],
            bundle_uri=candidate["bundle_uri"],
            bundle_hash=candidate["bundle_hash"],
            lineage=candidate["lineage"],
            scores=candidate["scores"],
            by=job.by,
            at=now,
        )
        for candidate in fitted
    ]


def _write_cost(job: _entry.Job, run: FitRun, *, cpu_s: float, num_fits: int) -> None:
    cost = {"run": run.run_id, "cpu_s": round(cpu_s, 3), "num_fits": num_fits}
    job.catalog.append(RUN_COST, job.workload.name, cost, by=job.by, at=datetime.now(UTC))


def started(
    job: _entry.Job,
    *,
    run_id: str,
    as_of: datetime,
    onset_at: datetime | None = None,
    is_turn: bool = False,
    verb: str = "train",
) -> FitRun:
    """The run as it was first started under that name: an attempt that goes on must see the same rows and code."""
    name = job.workload.name
    params = {
        "as_of": as_of.isoformat(),
        "onset_at": None if onset_at is None else onset_at.isoformat(),
        "tables": {table: job.lake.version(name, table) for table in ("raw", "predictions", "labels")},
        "inputs": champions(job.catalog, job.workload),
        "champion": job.catalog.aliases(name).get("champion"),
        "shut_out": screened(job, as_of=as_of),
        "configuration": _tuned_before(job),
        "code_revision": submit.code_revision(submit.code_package()),
        "source": collect(job.module).digest,
    }
    run = job.catalog.start_run(run_id, name, job=verb, params=params, by=job.by, at=datetime.now(UTC))
    if run.params["as_of"] != params["as_of"]:
        raise TrainingError(
            f"The run {run_id!r} was started as of {run.params['as_of']}, not {params['as_of']}; "
            "give another name with --run, or the same instant to go on."
        )
    if run.params.get("source", params["source"]) != params["source"]:
        raise TrainingError(
            f"The run {run_id!r} was started with another {job.module} than there is now, or other modules that it "
            "imports, and what it did so far came of those; give another name with --run, or put them back to go on."
        )
    return FitRun(
        run_id=run_id,
        module=job.module,
        lake_uri=job.lake.uri,
        bundles_uri=job.settings.bundles_uri,
        as_of=as_of,
        onset_at=onset_at,
        shut_out=run.params.get("shut_out", ()),
        is_turn=is_turn,
        num_recent=_first_rows(job),
        champion=_champion(job, run.params.get("champion")),
        code_revision=run.params["code_revision"],
        tables=run.params["tables"],
        inputs=run.params.get("inputs", {}),
        configuration=run.params.get("configuration", {}),
        events_dir=str(job.settings.runs_dir / EVENTS_DIR / run_id),
    )


def _tuned_before(job: _entry.Job) -> dict[str, Value]:
    champion = job.catalog.aliases(job.workload.name).get("champion")
    return {} if champion is None else kept(job.workload, job.catalog.version(job.workload.name, champion).lineage)


def _champion(job: _entry.Job, number: int | None) -> dict[str, Any] | None:
    if number is None:
        return None
    found = job.catalog.version(job.workload.name, number)
    version = Version(
        number=number,
        bundle_uri=found.bundle_uri,
        bundle_hash=found.bundle_hash,
        last_event_at=fitted_until(found),
        knows_all=is_all_history(found.candidate),
    )
    return asdict(version)


def _first_rows(job: _entry.Job) -> int | None:
    """How many rows the first version learned from: once that was enough, so it is what recent means."""
    versions = job.catalog.versions(job.workload.name)
    return int(versions[0].lineage["num_rows"]) if versions else None


def _run_streamed(job: _entry.Job, run: FitRun) -> tuple[list[dict[str, Any]], float]:
    """The same where workers stream their rows: put in order first, once for all workers and attempts."""
    root = job.settings.runs_dir / ROWS_DIR
    run = replace(run, rows_dir=str(root / run.run_id))
    with staged.held(str(root / run.run_id)):
        for name in staged.sweep(str(root), now=datetime.now(UTC)):
            print(f"removed the rows of {name}, which was killed and not started again", flush=True)
        _room.say_if_full(num_cpus=resources.STAGE_CPUS)
        try:
            rows = _staged(run, job.workload)
            print(f"{rows.num_rows:,} rows are in order, in {len(rows.files)} files", flush=True)
            found = _run_train(job, run)
        except TrainingError:
            _staging.unstage(run)
            raise
        _staging.unstage(run)
    return found


def _staged(run: FitRun, workload: Workload) -> staged.Staged:
    try:
        return _staging.stage(run, workload)
    except HeliostatError as error:
        raise FitFailedError(str(error)) from error
    except RayError as error:
        said = str(error).strip().splitlines()[-1:] or ["no message"]
        raise FitFailedError(
            f"The rows of the run {run.run_id!r} could not be put in order ({type(error).__name__}: {said[0]}). "
            "See the Jobs page of the Ray dashboard, and start it again under the same name."
        ) from error


def _run_train(job: _entry.Job, run: FitRun) -> tuple[list[dict[str, Any]], float]:
    """What was fitted, and the CPU-seconds that it took."""
    training, num_gpus = job.workload.training, _room.cluster_gpus()
    if "network" not in job.workload.kinds:
        training = replace(training, use_gpu=False)  # trees grow on CPUs
    elif training.use_gpu is None:
        _room.say_if_too_few(num_gpus=num_gpus, num_workers=training.fewest_workers)
    runs_dir = str(job.settings.runs_dir)
    made = trainer(run, training, runs_dir=runs_dir, num_gpus=num_gpus)
    needed = _needed_by_worker(training, num_gpus=num_gpus)
    few = training.fewest_workers
    _room.say_if_full(num_cpus=few * needed["CPU"], num_gpus=few * needed.get("GPU", 0.0))
    return fitted_by(made, run_id=run.run_id, runs_dir=runs_dir)


def fitted_by(made: TorchTrainer, *, run_id: str, runs_dir: str) -> tuple[list[dict[str, Any]], float]:
    """What a trainer fits, and the CPU-seconds of its workers' last attempt.

    FitFailedError when it gives nothing; TrainingError where there was nothing to fit.
    """
    try:
        result = made.fit()
    except TrainingFailedError as error:
        raise FitFailedError(given_up(run_id, error, attempts_in(attempts_dir(runs_dir, run_id)))) from error
    fitted = result.return_value  # type: ignore[attr-defined]
    if not fitted:
        raise FitFailedError(
            f"The run {run_id!r} ended without a candidate. See the Train page of the Ray dashboard, "
            "and start it again under the same name."
        )
    if "held" in fitted[0]:
        raise TrainingError(fitted[0]["held"])
    if "error" in fitted[0]:
        raise FitFailedError(fitted[0]["error"], cpu_s=fitted[0].get(CPU_S))
    return list(fitted), float((result.metrics or {}).get(CPU_S, 0.0))


def trainer(run: FitRun, training: Training, *, runs_dir: str, num_gpus: int) -> TorchTrainer:
    """The trainer of a run, which goes on where the last one of that name stopped; a GPU each where possible."""
    mend(Path(runs_dir) / run.run_id)
    Path(attempts_dir(runs_dir, run.run_id)).mkdir(parents=True, exist_ok=True)
    needed = _needed_by_worker(training, num_gpus=num_gpus)
    return RoomTrainer(
        fit_candidates,  # type: ignore[arg-type]  # Ray 2.60 passes on what rank 0 returns; its annotation lags
        train_loop_config=asdict(replace(run, attempts_dir=attempts_dir(runs_dir, run.run_id))),
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # the annotations are V1's
            num_workers=training.num_workers,  # type: ignore[arg-type]
            use_gpu="GPU" in needed,
            resources_per_worker=needed,
            elastic_resize_monitor_interval_s=resources.TRAIN_RESIZE_INTERVAL_S,
        ),
        run_config=RunConfig(
            name=run.run_id,
            storage_path=runs_dir,
            failure_config=FailureConfig(max_failures=MAX_WORKER_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )


def _needed_by_worker(training: Training, *, num_gpus: int) -> dict[str, float]:
    """What each worker takes of a cluster that has so many GPUs."""
    uses_gpu = takes_gpus(training.use_gpu, num_workers=training.fewest_workers, num_gpus=num_gpus)
    return resources.train_worker_resources(num_cpus=training.cpus_per_worker, num_gpus=1.0 if uses_gpu else 0.0)


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--as-of", type=_entry.instant, required=True, help="use what was known at this instant")
    made.add_argument("--run", help="name of the run (default: workload and instant); the same name resumes")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(train, arguments(), verb="train"))
