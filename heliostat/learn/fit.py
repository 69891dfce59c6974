"""Fit one candidate: the same rows, settings and seed give the same network, however often a worker is lost."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.learn.epochs import Learner, OnStep, no_step
from heliostat.learn.examples import Examples
from heliostat.learn.faults import guarded
from heliostat.learn.objective import Calibrated, objective_of
from heliostat.learn.parts import check_labels, check_parts, days
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import EVENT_AT, ordered
from heliostat.learn.run_epochs import OnEpoch, begin, load_weights, run
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores, FitState, Tensors
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model at its best epoch, what was learned beside its weights, and what it was learned from.

    A network has `weights`; of trees the library's own `trees` are kept, and their rounds count as epochs.
    """

    preparation: Preparation
    calibration: Calibrated
    weights: Tensors
    history: tuple[EpochScores, ...]
    best_epoch: int
    seed: int
    num_rows: int
    num_validation_rows: int
    constant: NDArray[np.float64]
    first_event_at: datetime
    last_event_at: datetime
    validated_until: datetime
    trees: bytes | None = None


def fit(
    workload: Workload,
    train: pa.Table,
    validation: pa.Table,
    *,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep = no_step,
    resume: FitState | None = None,
    start: Start | None = None,
    device: str = "cpu",
) -> Fitted:
    """Fit the workload's network to `train`; the epoch with the lowest loss on `validation`, which is later, wins.

    Both tables have key, event_at, label (known for every row) and the declared columns. In a group of workers each
    one calls this with the same arguments and gets the same answer. `on_epoch` is called after every epoch, and every
    `Training(checkpoint_steps)` batches, with a state from which another call goes on, to the same last bit. With
    `start` the network goes on from that version, on rows prepared as it prepared them. Raises TrainingError when no
    usable network can come of it.
    """
    train = ordered(train, workload, purpose="training")
    validation = ordered(validation, workload, purpose="validation")
    check_parts(workload.task, train, validation)
    preparation = Preparation.fit(train, workload.columns) if start is None else start.preparation
    seen, unseen = Examples.of(train, preparation), Examples.of(validation, preparation)
    with torch.random.fork_rng(devices=[] if device == "cpu" else [device]):  # the caller's own stay as they are
        torch.manual_seed(seed)
        objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
        network = _network(workload, seen).to(device)
        learner = Learner(workload, network, objective=objective, seed=seed, device=device, on_step=on_step)
        fingerprint = _fingerprint(workload, train, validation, seed=seed, start=start)
        state = begin(learner, resume, start=start, fingerprint=fingerprint)
        state = run(learner, state, seen=seen, unseen=unseen, on_epoch=on_epoch)
    kept, weights = state.kept(best=workload.training.keep_best)
    load_weights(learner, weights)
    logits = learner.logits(unseen).numpy().astype(np.float64)
    return Fitted(
        preparation=preparation,
        calibration=objective.calibration(logits, unseen.labels, blocks=days(validation)),
        weights=weights,
        history=state.history,
        best_epoch=kept,
        seed=seed,
        num_rows=seen.num_rows,
        num_validation_rows=unseen.num_rows,
        constant=workload.task.constant(seen.labels),
        first_event_at=pc.min(train[EVENT_AT]).as_py(),
        last_event_at=pc.max(train[EVENT_AT]).as_py(),
        validated_until=pc.max(validation[EVENT_AT]).as_py(),
    )


def refit(  # noqa: PLR0913 (as `fit`, and what that found)
    workload: Workload,
    rows: pa.Table,
    *,
    num_epochs: int,
    calibration: Calibrated,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep = no_step,
    resume: FitState | None = None,
    start: Start | None = None,
    device: str = "cpu",
) -> Fitted:
    """Fit to all rows, nothing held back, for as many epochs as did best where something was.

    The calibration is the one found there, because no row is left to calibrate on; without `Training(carry_shift)`
    what of it makes answers less sure. Else as `fit`; in the history the loss on the training rows stands in for the
    loss on later ones, and the last epoch counts.
    """
    rows = ordered(rows, workload, purpose="training")
    check_labels(workload.task, rows, purpose="training")
    settled = replace(workload, training=replace(workload.training, epochs=num_epochs, patience=None))
    preparation = Preparation.fit(rows, workload.columns) if start is None else start.preparation
    seen = Examples.of(rows, preparation)
    with torch.random.fork_rng(devices=[] if device == "cpu" else [device]):
        torch.manual_seed(seed)
        objective = objective_of(workload.task, seen.labels, isotonic=workload.training.isotonic)
        network = _network(workload, seen).to(device)
        learner = Learner(settled, network, objective=objective, seed=seed, device=device, on_step=on_step)
        fingerprint = _fingerprint(settled, rows, rows.slice(0, 0), seed=seed, start=start)
        state = begin(learner, resume, start=start, fingerprint=fingerprint)
        state = run(learner, state, seen=seen, unseen=None, on_epoch=on_epoch)
    last_event_at = pc.max(rows[EVENT_AT]).as_py()
    return Fitted(
        preparation=preparation,
        calibration=calibration if workload.training.carry_shift else calibration.doubt(),
        weights=state.weights,
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


def _network(workload: Workload, seen: Examples) -> nn.Module:
    return guarded("model", workload, lambda own: workload.model(own.origin.preparation.sizes), seen)


def _fingerprint(workload: Workload, train: pa.Table, validation: pa.Table, *, seed: int, start: Start | None) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    begun_from = "" if start is None else start.digest
    digest = hashlib.sha256(f"{workload.name} {workload.training} {seed}{begun_from}".encode())
    for table in (train, validation):
        for batch in table.combine_chunks().to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()
