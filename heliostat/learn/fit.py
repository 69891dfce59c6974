"""Fit one candidate: the same rows, settings and seed give the same network, however often a worker is lost."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from torch import nn

from heliostat.learn.epochs import Learner, OnStep, no_step
from heliostat.learn.examples import Examples
from heliostat.learn.faults import definition, guarded, telling
from heliostat.learn.material import Material, digest_of, material_of
from heliostat.learn.new_network import new_network
from heliostat.learn.objective import Calibrated
from heliostat.learn.prepare import Preparation
from heliostat.learn.randomness import seed_all, seeded
from heliostat.learn.row_checks import check_differ, check_labels, check_later, check_width, days
from heliostat.learn.rows import EVENT_AT, ordered
from heliostat.learn.run_epochs import IsOver, OnEpoch, begin, load_weights, run, whole
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores, FitState, Tensors
from heliostat.learn.streamed import Streamed
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model at its best epoch, what was learned beside its weights, and what it was learned from.

    A network has `weights`; of trees the library's own `trees` are kept, and their rounds count as epochs. One that
    `is_cut` was ended because its time was over.
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
    is_cut: bool = False


def fit(  # noqa: PLR0913 (each is one thing that differs between callers)
    workload: Workload,
    train: pa.Table | Streamed,
    validation: pa.Table,
    *,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep = no_step,
    resume: FitState | None = None,
    start: Start | None = None,
    device: str = "cpu",
    is_over: IsOver | None = None,
) -> Fitted:
    """Fit the workload's network to `train`; the epoch with the lowest loss on `validation`, which is later, wins.

    Both have key, event_at, label (known for every row) and the declared columns. Streamed rows are read again in every
    epoch, and never lie in memory together. In a group of workers each one calls this with the same arguments and gets
    the same answer; but of a network that is laid out over them (`Training(shard)`) the first one alone gets `weights`,
    and a state has each one's parts. `on_epoch` is called after every epoch, and every `Training(checkpoint_steps)`
    batches, with a state from which another call goes on, to the same last bit. With `start` the network goes on from
    that version, on rows prepared as it prepared them. `is_over` is asked after each epoch, and ends the fit. Raises
    TrainingError when no usable network can come of it.
    """
    material = material_of(workload, train, start=start)
    validation = ordered(validation, workload, purpose="validation")
    check_labels(workload.task, validation, purpose="validation")
    check_differ(workload.task, material.labels, num_rows=material.num_rows)
    check_later(validation, than=material.last_event_at)
    unseen = Examples.of(validation, material.preparation)
    with seeded(seed, device=device):
        learner = _learner(workload, material, seed=seed, device=device, on_step=on_step)
        fingerprint = _fingerprint(workload, material, validation, seed=seed, start=start)
        state = begin(learner, resume, start=start, fingerprint=fingerprint)
        state = run(learner, state, material=material, unseen=unseen, on_epoch=on_epoch, is_over=is_over)
        kept, weights = state.kept(best=workload.training.keep_best)
        load_weights(learner, weights)
        seed_all(seed)  # the same whether or not the fit went on from a state
        logits = learner.asked.logits(unseen).numpy().astype(np.float64)
    return _fitted(
        material,
        state,
        calibration=material.objective.calibration(logits, unseen.labels, blocks=days(validation)),
        weights=whole(learner, weights),
        best_epoch=kept,
        seed=seed,
        num_validation_rows=unseen.num_rows,
        validated_until=pc.max(validation[EVENT_AT]).as_py(),
    )


def refit(  # noqa: PLR0913 (as `fit`, and what that found)
    workload: Workload,
    rows: pa.Table | Streamed,
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
    material = material_of(workload, rows, start=start)
    settled = replace(workload, training=replace(workload.training, epochs=num_epochs, patience=None))
    with seeded(seed, device=device):
        learner = _learner(settled, material, seed=seed, device=device, on_step=on_step)
        fingerprint = _fingerprint(settled, material, None, seed=seed, start=start)
        state = begin(learner, resume, start=start, fingerprint=fingerprint)
        state = run(learner, state, material=material, unseen=None, on_epoch=on_epoch)
    return _fitted(
        material,
        state,
        calibration=material.objective.carried(calibration if workload.training.carry_shift else calibration.doubt()),
        weights=whole(learner, state.weights),
        best_epoch=state.num_epochs - 1,
        seed=seed,
        num_validation_rows=0,
        validated_until=material.last_event_at,
    )


def _fitted(material: Material, state: FitState, **found: Any) -> Fitted:
    """What a fit gives: what was known of its rows, its history, and what was `found`."""
    return Fitted(
        preparation=material.preparation,
        history=state.history,
        is_cut=state.is_cut,
        num_rows=material.num_rows,
        constant=material.constant,
        first_event_at=material.first_event_at,
        last_event_at=material.last_event_at,
        **found,
    )


def _network(workload: Workload, seen: Examples) -> nn.Module:
    return guarded("model", workload, lambda own: new_network(workload, own.origin.preparation.sizes), seen)


def _learner(workload: Workload, material: Material, *, seed: int, device: str, on_step: OnStep) -> Learner:
    if definition(workload, "encode") is None:  # it is ours, and gives numbers as they are
        check_width(material.seen)
    network = _network(workload, material.seen)
    with telling("the network", workload):
        return Learner(
            workload,
            network.to(device),
            objective=material.objective,
            seed=seed,
            device=device,
            on_step=on_step,
            seen=material.seen,
        )


def _fingerprint(
    workload: Workload, material: Material, validation: pa.Table | None, *, seed: int, start: Start | None
) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    begun_from = "" if start is None else start.digest
    later = digest_of([] if validation is None else [validation])
    told = f"{workload.name} {workload.training} {seed}{begun_from} {material.digest} {later}"
    return hashlib.sha256(told.encode()).hexdigest()
