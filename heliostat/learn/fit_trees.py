"""Boost the trees of one candidate: the same rows, settings and seed give the same trees, however often it is lost."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from heliostat.declared.trees import Trees
from heliostat.errors import TrainingError, WorkloadError
from heliostat.learn.boosting import Boosting, Plan, boost
from heliostat.learn.epochs import OnStep, Step, no_step
from heliostat.learn.examples import Examples
from heliostat.learn.fit import Fitted
from heliostat.learn.material import digest_of
from heliostat.learn.objective import Calibrated, Objective, objective_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.row_checks import check_labels, check_parts, days
from heliostat.learn.rows import EVENT_AT, ordered
from heliostat.learn.run_epochs import IsOver, OnEpoch, refuse_another
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores, FitState
from heliostat.learn.trees import COLUMNS, TreeAnswers, column_types, encode, xgboost
from heliostat.workload import Workload


def fit_trees(
    workload: Workload,
    train: pa.Table,
    validation: pa.Table,
    *,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep = no_step,
    resume: FitState | None = None,
    start: Start | None = None,
    is_over: IsOver | None = None,
) -> Fitted:
    """Boost trees on `train`; as many as do best on `validation`, which is later. Else as `fit.fit`.

    A round stands where an epoch of a network does, and where a step does; but `on_epoch` is told after every portion
    (`PORTION_ROUNDS`) and at the end, with a state whose trees must be taken before it returns. With `start` rounds are
    added to its trees. `is_over` is asked after each round once the first portion is done, and ends the fit.
    """
    train = ordered(train, workload, purpose="training")
    validation = ordered(validation, workload, purpose="validation")
    check_parts(workload.task, train, validation)
    preparation = Preparation.fit(train, workload.columns) if start is None else start.preparation
    seen, unseen = Examples.of(train, preparation), Examples.of(validation, preparation)
    objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
    settings = declared(workload)
    plan = Plan(num_rounds=settings.rounds, patience=settings.patience, is_over=is_over)
    begun = _begun(workload, [train, validation], plan, seed=seed, start=start, resume=resume)
    boosting, state = _boosted(
        workload,
        objective,
        [seen, unseen],
        plan,
        seed=seed,
        start=start,
        begun=begun,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    stored = boosting.trees(boosting.num_rounds - state.num_epochs + state.best_epoch + 1)
    logits = TreeAnswers(stored, outputs=objective.outputs).logits(encode(unseen.batch), num_rows=unseen.num_rows)
    return Fitted(
        preparation=preparation,
        calibration=objective.calibration(logits, unseen.labels, blocks=days(validation)),
        weights={},
        trees=stored,
        history=state.history,
        is_cut=state.is_cut,
        best_epoch=state.best_epoch,
        seed=seed,
        num_rows=seen.num_rows,
        num_validation_rows=unseen.num_rows,
        constant=workload.task.constant(seen.labels),
        first_event_at=pc.min(train[EVENT_AT]).as_py(),
        last_event_at=pc.max(train[EVENT_AT]).as_py(),
        validated_until=pc.max(validation[EVENT_AT]).as_py(),
    )


def refit_trees(
    workload: Workload,
    rows: pa.Table,
    *,
    num_rounds: int,
    calibration: Calibrated,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep = no_step,
    resume: FitState | None = None,
    start: Start | None = None,
) -> Fitted:
    """Boost as many trees as did best where something was held back, on all rows; as `fit.refit`."""
    rows = ordered(rows, workload, purpose="training")
    check_labels(workload.task, rows, purpose="training")
    preparation = Preparation.fit(rows, workload.columns) if start is None else start.preparation
    seen = Examples.of(rows, preparation)
    objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
    plan = Plan(num_rounds=num_rounds, patience=None)
    begun = _begun(workload, [rows], plan, seed=seed, start=start, resume=resume)
    boosting, state = _boosted(
        workload, objective, [seen], plan, seed=seed, start=start, begun=begun, on_step=on_step, on_epoch=on_epoch
    )
    last_event_at = pc.max(rows[EVENT_AT]).as_py()
    return Fitted(
        preparation=preparation,
        calibration=objective.carried(calibration if workload.training.carry_shift else calibration.doubt()),
        weights={},
        trees=boosting.trees(boosting.num_rounds),
        history=state.history,
        best_epoch=state.num_epochs - 1,
        seed=seed,
        num_rows=seen.num_rows,
        num_validation_rows=0,
        constant=workload.task.constant(seen.labels),
        first_event_at=pc.min(rows[EVENT_AT]).as_py(),
        last_event_at=last_event_at,
        validated_until=last_event_at,
    )


def _begun(
    workload: Workload,
    tables: Sequence[pa.Table],
    plan: Plan,
    *,
    seed: int,
    start: Start | None,
    resume: FitState | None,
) -> FitState:
    """Where a fit begins: at nothing, or at a checkpoint that was made from the same."""
    begun_from = "" if start is None else start.digest
    told = (
        f"{workload.name} {workload.trees} {plan} {seed}{begun_from} {' '.join(digest_of([each]) for each in tables)}"
    )
    fingerprint = hashlib.sha256(told.encode()).hexdigest()
    if resume is None:
        return FitState(fingerprint=fingerprint, weights={}, best_weights={}, optimizer={}, history=())
    refuse_another(resume, fingerprint)
    return resume


def _boosted(
    workload: Workload,
    objective: Objective,
    parts: Sequence[Examples],
    plan: Plan,
    *,
    seed: int,
    start: Start | None,
    begun: FitState,
    on_step: OnStep,
    on_epoch: OnEpoch | None,
) -> tuple[Boosting, FitState]:
    """The trees of all rounds, and where the fit to the first of the parts stands after them."""
    settings = declared(workload)
    parameters = {
        **objective.boosting,
        "tree_method": "hist",
        "eta": settings.learning_rate,
        "max_depth": settings.depth,
        "subsample": settings.row_share,
        "colsample_bytree": settings.column_share,
        "nthread": settings.threads,
        "verbosity": 0,
    }
    most = {"num_steps": plan.num_rounds, "num_epochs": plan.num_rounds, "num_rows": parts[0].num_rows}

    def on_round(number: int, scores: EpochScores) -> None:
        on_step(Step(number=number, loss=torch.tensor(scores.train_loss), **most))

    stored = begun.trees() if begun.trees is not None else None if start is None else start.trees or b""
    try:
        known = _matrix(parts[0], objective, threads=settings.threads)
        later = [_matrix(each, objective, threads=settings.threads, like=known) for each in parts[1:]]
        boosting = Boosting(parameters, [known, *later], seed=seed, stored=stored)
        return boosting, boost(boosting, begun, plan, on_round=on_round, on_portion=on_epoch)
    except xgboost().core.XGBoostError as error:
        raise TrainingError(_refused(workload, error)) from error


def declared(workload: Workload) -> Trees:
    """The workload's trees; WorkloadError when it declares none."""
    if workload.trees is None:
        raise WorkloadError(f"Workload {workload.name!r} declares no trees; add trees=Trees() to it.")
    return workload.trees


def _matrix(examples: Examples, objective: Objective, *, threads: int, like: Any = None) -> Any:
    return xgboost().QuantileDMatrix(
        _columns(examples),
        objective.targets(examples.labels),
        feature_types=column_types(examples.origin.preparation),
        enable_categorical=True,
        nthread=threads,
        ref=like,
    )


def _columns(examples: Examples) -> NDArray[np.float32]:
    """What trees see of these rows; TrainingError with the first value that is too large for them."""
    with np.errstate(over="ignore"):
        columns: NDArray[np.float32] = encode(examples.batch)[COLUMNS].numpy()
    beyond = np.argwhere(np.isinf(columns))
    if len(beyond):
        row, column = beyond[0]
        name = list(examples.batch)[column]  # numbers come first, and codes are small
        raise TrainingError(
            f"{name} of {examples.row_name(row)} is {examples.batch[name][row]:g}, and trees see numbers up to "
            f"{np.finfo(np.float32).max:.2g}; scale it where the rows come from, or bound Number({name!r}, ...)."
        )
    return columns


def _refused(workload: Workload, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    if "alloc" in first_line:
        return (
            f"The trees of {workload.name!r} have no memory left ({first_line}); train on a shorter window, or lower "
            "Trees(depth)."
        )
    return f"The trees of {workload.name!r} cannot be boosted: XGBoost says {first_line}; mend the rows or Trees(...)."
