"""A fit from its first epoch to its last, from any state on that it was left in."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from heliostat.errors import TrainingError
from heliostat.learn import parallel
from heliostat.learn.epochs import Learner
from heliostat.learn.examples import Examples
from heliostat.learn.material import Material
from heliostat.learn.start import Start
from heliostat.learn.state import EpochScores, FitState, Tensors, optimizer_tensors, restore_optimizer

OnEpoch = Callable[[FitState], None]
IsOver = Callable[[int], bool]
"""Whether a fit must end now, so many epochs (of trees: rounds) after it began or went on; all workers say the same."""


def begin(learner: Learner, resume: FitState | None, *, start: Start | None, fingerprint: str) -> FitState:
    """Where a fit begins: at nothing, at `start`, or at the checkpoint `resume`, which must be of this fingerprint."""
    if resume is None:
        if start is not None:
            load_weights(learner, start.weights)
        return FitState(fingerprint=fingerprint, weights={}, best_weights={}, optimizer={}, history=())
    refuse_another(resume, fingerprint)
    try:
        return _restored(learner, resume)
    except TrainingError:
        raise
    except RuntimeError as error:
        raise TrainingError(
            f"The checkpoint after epoch {resume.num_epochs} does not fit the network, which was changed since "
            f"({str(error).partition(chr(10))[0]}); give the run a new name."
        ) from error


def refuse_another(resume: FitState, fingerprint: str) -> None:
    """TrainingError where a checkpoint is of another fit."""
    if resume.fingerprint != fingerprint:
        raise TrainingError(
            f"The checkpoint after epoch {resume.num_epochs} was made from other rows, settings or another seed; "
            "give the run a new name, or leave `resume` out to start anew."
        )


def _restored(learner: Learner, resume: FitState) -> FitState:
    """The state with all tensors, which network and optimizer now have; of a sharded network this worker's parts."""
    if resume.parts_dir is not None:
        from heliostat.learn.parts import read  # a second to import, and few networks need it

        resume = read(resume, learner.module, learner.optimizer)
    load_weights(learner, resume.weights)
    if not learner.is_sharded:
        restore_optimizer(learner.optimizer, resume.optimizer)
        return resume
    from heliostat.learn.sharding import part_of, parts_of  # a second to import, and few networks need it

    restore_optimizer(learner.optimizer, resume.optimizer, place=part_of)
    # A state of whole tensors, which one worker wrote, goes on in parts.
    return replace(resume, best_weights=parts_of(resume.best_weights, learner.module), is_in_parts=True)


def load_weights(learner: Learner, weights: Tensors) -> None:
    """Give the network these weights, each worker its part of them where it is laid out."""
    if learner.is_sharded:
        from heliostat.learn.sharding import parts_of  # a second to import, and few networks need it

        weights = parts_of(weights, learner.module)
    learner.module.load_state_dict(weights)


def run(
    learner: Learner,
    state: FitState,
    *,
    material: Material,
    unseen: Examples | None,
    on_epoch: OnEpoch | None,
    is_over: IsOver | None = None,
) -> FitState:
    """The fit after its last epoch; `on_epoch` is told where it stands, as `fit` promises."""
    training, num_before = learner.workload.training, state.num_epochs
    while not state.is_cut and state.num_epochs < training.epochs and not _has_settled(state, training.patience):
        epoch = state.num_epochs
        begun = state = replace(state, weights={}, optimizer={})  # copies, which nobody asks for any more

        def pause(num_steps: int, loss_total: float, begun: FitState = begun) -> None:
            if on_epoch is not None:
                on_epoch(replace(_stored(learner, begun), num_steps=num_steps, loss_total=loss_total))

        train_loss = learner.run_epoch(
            epoch, material.feed, first_step=state.num_steps, total=state.loss_total, on_pause=pause
        )
        later_loss = train_loss if unseen is None else parallel.first_number(learner.asked.mean_loss(unseen))
        scores = EpochScores(train_loss=train_loss, validation_loss=later_loss)
        _check_finite(scores, learner, epoch=epoch, material=material, unseen=unseen)
        state = _after_epoch(learner, state, scores=scores)
        _check_weights(learner, state, material=material)
        if is_over is not None and state.num_epochs < training.epochs and not _has_settled(state, training.patience):
            state = replace(state, is_cut=is_over(state.num_epochs - num_before))
        if on_epoch is not None:
            on_epoch(state)
    return state


def _has_settled(state: FitState, patience: int | None) -> bool:
    """Whether the last `patience` epochs were all worse on the later rows than one before."""
    return patience is not None and state.num_epochs > 0 and state.num_epochs - 1 - state.best_epoch >= patience


def _check_finite(
    scores: EpochScores, learner: Learner, *, epoch: int, material: Material, unseen: Examples | None
) -> None:
    if not math.isfinite(scores.train_loss):
        raise TrainingError(
            learner.asked.not_finite(scores.train_loss, material.seen, epoch=epoch, among=material.feed)
        )
    if unseen is not None and not math.isfinite(scores.validation_loss):
        raise TrainingError(learner.asked.not_finite(scores.validation_loss, unseen, epoch=epoch))


def _check_weights(learner: Learner, state: FitState, *, material: Material) -> None:
    """Refuse what the last step spoilt: no later loss would tell where nothing is held back."""
    found = parallel.first_found(_spoilt(learner, state)) if learner.is_sharded else _spoilt(learner, state)
    if found is not None:
        name, value = found
        raise TrainingError(learner.asked.spoilt(name, value, material.seen, epoch=state.num_epochs - 1))


def _spoilt(learner: Learner, state: FitState) -> tuple[str, float] | None:
    """The first weight that is no finite number, and what it is; of a sharded network in this worker's part."""
    for name, _ in learner.module.named_parameters():
        weights = _held(learner, state.weights[name])
        is_bad = ~torch.isfinite(weights)
        if is_bad.any():
            return name, float(weights[is_bad][0])
    return None


def _held(learner: Learner, tensor: torch.Tensor) -> torch.Tensor:
    if not learner.is_sharded:
        return tensor
    from heliostat.learn.sharding import own_part  # a second to import, and few networks need it

    return own_part(tensor)


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
    """The state with the weights and moments of this moment; of a sharded network with this worker's parts of them."""
    weights = {name: _copied(tensor) for name, tensor in learner.module.state_dict().items()}
    moments = {name: _copied(tensor) for name, tensor in optimizer_tensors(learner.optimizer).items()}
    return replace(state, weights=weights, optimizer=moments, is_in_parts=learner.is_sharded)


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone()


def whole(learner: Learner, weights: Tensors) -> Tensors:
    """The weights that the network has now, whole; of a sharded one on the first worker, nothing on others. All ask."""
    if not learner.is_sharded:
        return weights
    from heliostat.learn.sharding import whole_on_first  # a second to import, and few networks need it

    return whole_on_first(learner.module.state_dict())  # where it is: not every device's group can gather on CPUs
