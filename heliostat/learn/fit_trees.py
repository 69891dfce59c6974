"""Boost the trees of one candidate: the same rows, settings and seed give the same trees."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import TrainingError, WorkloadError
from heliostat.learn.examples import Examples
from heliostat.learn.fit import Fitted
from heliostat.learn.objective import Calibrated, Objective, objective_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.row_checks import check_labels, check_parts, days
from heliostat.learn.rows import EVENT_AT, ordered
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores
from heliostat.learn.trees import COLUMNS, TreeAnswers, column_types, encode, xgboost
from heliostat.workload import Workload

TRAIN, LATER = "train", "later"
OnRound = Callable[[int], None]


def ignored(_: int) -> None:
    """Nobody counts the rounds."""


def fit_trees(
    workload: Workload,
    train: pa.Table,
    validation: pa.Table,
    *,
    seed: int,
    start: Start | None = None,
    on_round: OnRound = ignored,
) -> Fitted:
    """Boost trees on `train`; as many as do best on `validation`, which is later. Else as `fit.fit`.

    A round stands where an epoch of a network does; `on_round` is told how many are done. With `start` rounds are added
    to its trees. Nothing is resumed: a fit that is lost is done again.
    """
    train = ordered(train, workload, purpose="training")
    validation = ordered(validation, workload, purpose="validation")
    check_parts(workload.task, train, validation)
    preparation = Preparation.fit(train, workload.columns) if start is None else start.preparation
    seen, unseen = Examples.of(train, preparation), Examples.of(validation, preparation)
    objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
    booster, history = _boosted(workload, objective, seen, unseen, seed=seed, start=start, on_round=on_round)
    best = min(range(len(history)), key=lambda number: history[number].validation_loss)
    num_before = booster.num_boosted_rounds() - len(history)
    stored = _stored(booster[: num_before + best + 1])
    logits = TreeAnswers(stored, outputs=objective.outputs).logits(encode(unseen.batch), num_rows=unseen.num_rows)
    return Fitted(
        preparation=preparation,
        calibration=objective.calibration(logits, unseen.labels, blocks=days(validation)),
        weights={},
        trees=stored,
        history=history,
        best_epoch=best,
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
    start: Start | None = None,
    on_round: OnRound = ignored,
) -> Fitted:
    """Boost as many trees as did best where something was held back, on all rows; as `fit.refit`."""
    rows = ordered(rows, workload, purpose="training")
    check_labels(workload.task, rows, purpose="training")
    preparation = Preparation.fit(rows, workload.columns) if start is None else start.preparation
    seen = Examples.of(rows, preparation)
    objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
    booster, history = _boosted(
        workload, objective, seen, None, seed=seed, start=start, num_rounds=num_rounds, on_round=on_round
    )
    last_event_at = pc.max(rows[EVENT_AT]).as_py()
    return Fitted(
        preparation=preparation,
        calibration=objective.carried(calibration if workload.training.carry_shift else calibration.doubt()),
        weights={},
        trees=_stored(booster),
        history=history,
        best_epoch=len(history) - 1,
        seed=seed,
        num_rows=seen.num_rows,
        num_validation_rows=0,
        constant=workload.task.constant(seen.labels),
        first_event_at=pc.min(rows[EVENT_AT]).as_py(),
        last_event_at=last_event_at,
        validated_until=last_event_at,
    )


def _boosted(
    workload: Workload,
    objective: Objective,
    seen: Examples,
    unseen: Examples | None,
    *,
    seed: int,
    start: Start | None,
    on_round: OnRound,
    num_rounds: int | None = None,
) -> tuple[Any, tuple[EpochScores, ...]]:
    """The trees of all rounds, and the loss after each on the rows trained on and on the later ones."""
    settings = workload.trees
    if settings is None:
        raise WorkloadError(f"Workload {workload.name!r} declares no trees; add trees=Trees() to it.")
    parameters = {
        **objective.boosting,
        "tree_method": "hist",
        "eta": settings.learning_rate,
        "max_depth": settings.depth,
        "subsample": settings.row_share,
        "colsample_bytree": settings.column_share,
        "nthread": settings.threads,
        "seed": seed,
        "verbosity": 0,
    }
    losses: dict[str, dict[str, list[float]]] = {}
    try:
        known = _matrix(seen, objective, threads=settings.threads)
        watched = [(known, TRAIN)]
        if unseen is not None:
            watched.append((_matrix(unseen, objective, threads=settings.threads, like=known), LATER))
        booster = xgboost().train(
            parameters,
            known,
            num_rounds or settings.rounds,
            evals=watched,
            evals_result=losses,
            xgb_model=None if start is None else bytearray(start.trees or b""),
            early_stopping_rounds=None if unseen is None else settings.patience,
            verbose_eval=False,
            callbacks=[_telling(on_round)],
        )
    except xgboost().core.XGBoostError as error:
        raise TrainingError(_refused(workload, error)) from error
    loss = objective.boosting["eval_metric"]
    later = losses[TRAIN if unseen is None else LATER][loss]
    pairs = zip(losses[TRAIN][loss], later, strict=True)
    return booster, tuple(EpochScores(train_loss=own, validation_loss=other) for own, other in pairs)


def _telling(on_round: OnRound) -> Any:
    """XGBoost's callback; its class is only there once the library is."""

    def after_iteration(_: object, model: object, epoch: int, evals_log: object) -> bool:
        on_round(epoch + 1)
        return False  # True would end the training

    kind = xgboost().callback.TrainingCallback
    return type("Telling", (kind,), {"after_iteration": after_iteration})()


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


def _stored(booster: Any) -> bytes:
    # What early stopping noted is of the longer run; without it the bytes follow from the trees alone.
    booster.set_attr(best_iteration=None, best_score=None)
    return bytes(booster.save_raw("json"))
