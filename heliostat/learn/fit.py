"""Fit one candidate: the same rows, settings and seed give the same network, however often a worker is lost."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.errors import TrainingError
from heliostat.learn.epochs import Learner, OnStep, no_step
from heliostat.learn.examples import Examples
from heliostat.learn.faults import guarded
from heliostat.learn.objective import Calibrated, objective_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import EVENT_AT, KEY, LABEL, ordered
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores, FitState, Tensors, optimizer_tensors, restore_optimizer
from heliostat.tasks import Task
from heliostat.workload import Workload

OnEpoch = Callable[[FitState], None]


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
        state = _begin(learner, resume, start=start, fingerprint=fingerprint)
        state = _run(learner, state, seen=seen, unseen=unseen, on_epoch=on_epoch)
    kept, weights = state.kept(best=workload.training.keep_best)
    _load_weights(learner, weights)
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
        state = _begin(learner, resume, start=start, fingerprint=fingerprint)
        state = _run(learner, state, seen=seen, unseen=None, on_epoch=on_epoch)
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


def days(rows: pa.Table) -> NDArray[np.int64]:
    """The number of the day of each row: what happens on one day errs together."""
    days: NDArray[np.int64] = rows[EVENT_AT].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    return days


def check_parts(task: Task, train: pa.Table, validation: pa.Table) -> None:
    """Refuse labels of another kind, labels that are all alike, and validation that is not later than training."""
    check_labels(task, train, purpose="training")
    check_labels(task, validation, purpose="validation")
    if not task.can_learn(train[LABEL].to_numpy()):
        needed = "both 0 and 1 must occur" if task.kind == "binary" else "at least two different ones must occur"
        raise TrainingError(
            f"The labels of {train.num_rows:,} training rows are all {task.value(train[LABEL][0].as_py())}; {needed}. "
            "Train on a longer span, or mend the label."
        )
    last, first = pc.max(train[EVENT_AT]).as_py(), pc.min(validation[EVENT_AT]).as_py()
    if first < last:
        raise TrainingError(
            f"Validation rows begin at {first}, before training rows end at {last}; "
            "a score on them would not tell how the network does later. Split with rows.split_by_time."
        )


def check_labels(task: Task, rows: pa.Table, *, purpose: str) -> None:
    """Refuse, with the first such row, labels that are none of the task's."""
    wrong = rows.filter(pa.array(~task.are_codes(rows[LABEL].to_numpy())))
    if wrong.num_rows:
        first = wrong.sort_by(EVENT_AT).slice(0, 1).to_pylist()[0]
        raise TrainingError(
            f"The label of the row with key {first[KEY]!r} at {first[EVENT_AT]:%Y-%m-%dT%H:%M:%S%z} is "
            f"{first[LABEL]:g}, and {wrong.num_rows:,} of {rows.num_rows:,} {purpose} rows have another than "
            f"{task.codes_allowed}; mend the label where the rows come from."
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


def _begin(learner: Learner, resume: FitState | None, *, start: Start | None, fingerprint: str) -> FitState:
    if resume is None:
        if start is not None:
            _load_weights(learner, start.weights)
        return FitState(fingerprint=fingerprint, weights={}, best_weights={}, optimizer={}, history=())
    if resume.fingerprint != fingerprint:
        raise TrainingError(
            f"The checkpoint after epoch {resume.num_epochs} was made from other rows, settings or another seed; "
            "give the run a new name, or leave `resume` out to start anew."
        )
    try:
        _load_weights(learner, resume.weights)
    except RuntimeError as error:
        raise TrainingError(
            f"The checkpoint after epoch {resume.num_epochs} does not fit the network, which was changed since "
            f"({str(error).partition(chr(10))[0]}); give the run a new name."
        ) from error
    if learner.is_sharded:
        from heliostat.learn.sharding import part_of  # a second to import, and few networks need it

        restore_optimizer(learner.optimizer, resume.optimizer, place=part_of)
    else:
        restore_optimizer(learner.optimizer, resume.optimizer)
    return resume


def _load_weights(learner: Learner, weights: Tensors) -> None:
    if learner.is_sharded:
        from heliostat.learn.sharding import parts_of  # a second to import, and few networks need it

        weights = parts_of(weights, learner.module)
    learner.module.load_state_dict(weights)


def _run(
    learner: Learner, state: FitState, *, seen: Examples, unseen: Examples | None, on_epoch: OnEpoch | None
) -> FitState:
    training = learner.workload.training
    while state.num_epochs < training.epochs and not _has_settled(state, training.patience):
        epoch = state.num_epochs
        begun = state

        def pause(num_steps: int, loss_total: float, begun: FitState = begun) -> None:
            if on_epoch is not None:
                on_epoch(replace(_stored(learner, begun), num_steps=num_steps, loss_total=loss_total))

        train_loss = learner.run_epoch(epoch, seen, first_step=state.num_steps, total=state.loss_total, on_pause=pause)
        later_loss = train_loss if unseen is None else learner.mean_loss(unseen)
        scores = EpochScores(train_loss=train_loss, validation_loss=later_loss)
        _check_finite(scores, learner, epoch=epoch, seen=seen, unseen=unseen)
        state = _after_epoch(learner, state, scores=scores)
        if on_epoch is not None:
            on_epoch(state)
    return state


def _has_settled(state: FitState, patience: int | None) -> bool:
    """Whether the last `patience` epochs were all worse on the later rows than one before."""
    return patience is not None and state.num_epochs > 0 and state.num_epochs - 1 - state.best_epoch >= patience


def _check_finite(
    scores: EpochScores, learner: Learner, *, epoch: int, seen: Examples, unseen: Examples | None
) -> None:
    for loss, examples in ((scores.train_loss, seen), (scores.validation_loss, unseen or seen)):
        if not math.isfinite(loss):
            raise TrainingError(learner.not_finite(loss, examples, epoch=epoch))


def _after_epoch(learner: Learner, state: FitState, *, scores: EpochScores) -> FitState:
    stored = _stored(learner, state)
    is_best = all(scores.validation_loss < earlier.validation_loss for earlier in state.history)
    return replace(
        stored,
        best_weights=stored.weights if is_best else state.best_weights,
        history=(*state.history, scores),
        num_steps=0,
        loss_total=0.0,
    )


def _stored(learner: Learner, state: FitState) -> FitState:
    """The state with the weights and moments of this moment, whole; every worker must ask."""
    weights = {name: _copied(learner, tensor) for name, tensor in learner.module.state_dict().items()}
    # In one order on all workers, who gather each tensor together: a file gives them back in any.
    found = sorted(optimizer_tensors(learner.optimizer).items())
    moments = {name: _copied(learner, tensor) for name, tensor in found}
    return replace(state, weights=weights, optimizer=moments)


def _copied(learner: Learner, tensor: torch.Tensor) -> torch.Tensor:
    if learner.is_sharded:
        from heliostat.learn.sharding import whole  # a second to import, and few networks need it

        tensor = whole(tensor)
    return tensor.detach().cpu().clone()
