"""What one trial does: the fit that a training run would do with the same configuration, told to Ray Tune by epoch."""

import os
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from ray import tune

from cluster.resources import BATCH_NICENESS
from heliostat.declared.tuning import Configuration, Tuning
from heliostat.errors import ContractError, TrainingError, WorkloadError
from heliostat.learn.examples import Examples
from heliostat.learn.faults import RAISED, is_out_of_memory, own_fault, scored
from heliostat.learn.fit import fit
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.network_answers import NetworkAnswers
from heliostat.learn.objective import objective_of
from heliostat.learn.portions import in_portions, most_rows, piece_rows
from heliostat.learn.prepare import Preparation
from heliostat.learn.row_checks import days
from heliostat.learn.rows import LABEL, ordered
from heliostat.learn.state import FitState
from heliostat.learn.trees import KIND as TREES
from heliostat.learn.trees import TreeAnswers
from heliostat.learn.tuned import configured
from heliostat.metrics import Metric
from heliostat.workload import Encoded, Workload, load

SCORE = "score"  # what trials are compared by: of the epoch that a fit would keep if it ended now
EPOCHS = "epochs"
ERROR = "error"
STATE_FILE = "fit.safetensors"


def trial(configuration: Configuration, *, module: str, device: str, train: pa.Table, validation: pa.Table) -> None:
    """Fit with this configuration, and go on where a pause or a lost process left it.

    One report an epoch of a network, or a portion of the rounds of trees, which are told as they are counted.

    A configuration that cannot be fitted, such as one whose gradients explode, is a result like any other: the worst.
    """
    os.nice(BATCH_NICENESS)
    workload = load(module)
    torch.set_num_threads(max(1, int(workload.training.cpus_per_worker or 1)))
    tuning = declared(workload)
    try:
        own = configured(workload, configuration)
        _fit(own, tuning.metric, train, validation, device=None if tuning.kind == TREES else device)
    except RAISED as error:
        told = _told(workload, error)
        if told is None:
            raise
        tune.report({SCORE: worst(tuning), EPOCHS: 0, ERROR: told})


def _told(workload: Workload, error: BaseException) -> str | None:
    """One sentence where the trial would end so again; None where not, and where Ray ends its thread (SystemExit)."""
    if isinstance(error, TrainingError | ContractError | WorkloadError):
        return str(error)
    if is_out_of_memory(error):
        return (
            f"The trial has no memory left ({error}); lower Tuning(max_concurrent) or the batch_size, or train on a "
            "shorter window."
        )
    return own_fault(workload, error)


def worst(tuning: Tuning) -> float:
    """The score of a trial that failed."""
    return float("-inf") if is_higher_better(tuning) else float("inf")


def is_higher_better(tuning: Tuning) -> bool:
    """Which way the score is better."""
    return tuning.metric is not None and tuning.metric.higher_is_better


def declared(workload: Workload) -> Tuning:
    """The workload's search; WorkloadError when it declares none."""
    if workload.tuning is None:
        raise WorkloadError(
            f"Workload {workload.name!r} declares no search space: add tuning=Tuning(space={{...}}) to it, for example "
            'Tuning(space={"learning_rate": Between(1e-4, 1e-2, log=True)}).'
        )
    return workload.tuning


def _fit(
    workload: Workload, metric: Metric | None, train: pa.Table, validation: pa.Table, *, device: str | None
) -> None:
    """A network on that device, or trees; told after each epoch, or portion of rounds, with what it can go on from."""
    scored = None if metric is None else _Scored(workload, metric, train, validation)

    def report(state: FitState) -> None:
        if state.num_steps:
            return  # trials are told, and paused, between epochs
        score = state.history[_kept(state, workload)].validation_loss if scored is None else scored(state)
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / STATE_FILE).write_bytes(state.to_bytes())
            checkpoint = tune.Checkpoint.from_directory(name)
            values = {**asdict(state.history[-1]), SCORE: score, EPOCHS: state.num_epochs}
            tune.report(values, checkpoint=checkpoint)

    fits = fit_trees if device is None else partial(fit, device=device)
    fits(workload, train, validation, seed=workload.training.seed, on_epoch=report, resume=_resumed())


def _kept(state: FitState, workload: Workload) -> int:
    """The epoch, or round, from 0, that a fit would keep if it ended now."""
    return state.kept(best=workload.training.keep_best or state.trees is not None)[0]


class _Scored:
    """The metric of a model's calibrated answers on the later rows."""

    def __init__(self, workload: Workload, metric: Metric, train: pa.Table, validation: pa.Table) -> None:
        self._workload, self._metric = workload, metric
        seen = ordered(train, workload, purpose="training")
        rows = ordered(validation, workload, purpose="validation")
        self._preparation = Preparation.fit(seen, workload.columns)
        isotonic = workload.training.isotonic
        self._objective = objective_of(workload.task, seen[LABEL].to_numpy(), isotonic=isotonic)
        self._examples, self._blocks = Examples.of(rows, self._preparation), days(rows)

    def __call__(self, state: FitState) -> float:
        answers = self._answers(state)

        def answered(start: int, end: int) -> tuple[NDArray[np.float64], Encoded]:
            batch = self._examples.take(np.arange(start, end)).batch  # copies: `encode` may write to its batch
            encoded = answers.encode(batch)
            return answers.logits(encoded, num_rows=end - start), encoded

        training = self._workload.training
        portions = in_portions(
            answered, num_rows=self._examples.num_rows, first_rows=piece_rows(training), most_rows=most_rows(training)
        )
        logits, labels = np.concatenate(portions), self._examples.labels
        calibration = self._objective.calibration(logits, labels, blocks=self._blocks)
        return scored(self._workload, self._metric, labels, calibration.answers(logits))

    def _answers(self, state: FitState) -> NetworkAnswers | TreeAnswers:
        if state.trees is not None:
            rounds = _kept(state, self._workload) + 1
            return TreeAnswers(state.trees(), outputs=self._objective.outputs, num_rounds=rounds)
        _, weights = state.kept(best=self._workload.training.keep_best)
        return NetworkAnswers(self._workload, self._preparation, weights)


def _resumed() -> FitState | None:
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as directory:
        return FitState.from_bytes((Path(directory) / STATE_FILE).read_bytes())
