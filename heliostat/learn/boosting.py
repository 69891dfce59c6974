"""Boost trees a portion of rounds at a time: from any portion on a fit ends with the same trees, to the last bit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from heliostat.declared.trees import PORTION_ROUNDS
from heliostat.learn.randomness import derived_seed
from heliostat.learn.run_epochs import IsOver
from heliostat.learn.state import EpochScores, FitState
from heliostat.learn.trees import xgboost

TRAIN, LATER = "train", "later"
OnRound = Callable[[int, EpochScores], None]


class Boosting:
    """The trees of one fit as they grow; what is random in a portion follows from the seed and the place alone."""

    def __init__(
        self, parameters: Mapping[str, Any], matrices: Sequence[Any], *, seed: int, stored: bytes | None
    ) -> None:
        """`matrices` are the rows learned from, and maybe later ones; `stored` are the trees to go on from, if any."""
        self._seed, self._loss = seed, parameters["eval_metric"]
        self._known, self._watched = matrices[0], list(zip(matrices, (TRAIN, LATER), strict=False))
        begun_from = None if stored is None else bytearray(stored)
        self._booster = xgboost().Booster({**parameters, "seed": seed}, list(matrices), model_file=begun_from)

    @property
    def num_rounds(self) -> int:
        """How many rounds the trees are of, with those gone on from."""
        return int(self._booster.num_boosted_rounds())

    def grow(self, number: int) -> EpochScores:
        """The `number`th round of the fit, from 0, is done; the losses after it."""
        if number and number % PORTION_ROUNDS == 0:
            self._draw_anew(number)
        self._booster.update(self._known, number)
        told = self._booster.eval_set(self._watched, number).split("\t")[1:]
        losses = {name: float(loss) for name, loss in (each.rsplit(":", 1) for each in told)}
        own = losses[f"{TRAIN}-{self._loss}"]
        return EpochScores(train_loss=own, validation_loss=losses.get(f"{LATER}-{self._loss}", own))

    def _draw_anew(self, number: int) -> None:
        # What draws columns lies in the library's updater, which it makes anew where the method was another in between.
        # A new booster would have it too, but answer all rows once more.
        self._booster.set_param({"tree_method": "approx"})
        self._booster.num_boosted_rounds()
        self._booster.set_param({"tree_method": "hist", "seed": derived_seed(self._seed, number)})

    def trees(self, num_rounds: int, *, form: str = "json") -> bytes:
        """The trees of the first so many rounds, with those gone on from. Between portions only: the library draws."""
        return bytes(self._booster[:num_rounds].save_raw(form))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """For how long is boosted: so many rounds, or until `patience` were all worse on later rows than one before."""

    num_rounds: int
    patience: int | None
    is_over: IsOver | None = field(default=None, repr=False)  # as `fit_trees` promises

    def is_done(self, num_done: int, best: int) -> bool:
        """Whether no round comes after so many, of which that one was best."""
        return num_done >= self.num_rounds or (self.patience is not None and num_done - 1 - best >= self.patience)


def boost(
    boosting: Boosting, state: FitState, plan: Plan, *, on_round: OnRound, on_portion: Callable[[FitState], None] | None
) -> FitState:
    """The fit after its last round, from the state on that `boosting` has the trees of."""
    history, best = list(state.history), state.best_epoch if state.history else 0
    num_before = boosting.num_rounds - len(history)
    num_begun, is_cut = len(history), state.is_cut
    while not is_cut and not plan.is_done(len(history), best):
        history.append(boosting.grow(len(history)))
        if history[-1].validation_loss < history[best].validation_loss:
            best = len(history) - 1
        on_round(len(history), history[-1])
        is_last = plan.is_done(len(history), best)
        if plan.is_over is not None and not is_last and len(history) >= PORTION_ROUNDS:
            is_cut = plan.is_over(len(history) - num_begun)
        if on_portion is not None and (is_last or is_cut or len(history) % PORTION_ROUNDS == 0):
            # The bytes of many trees take longer than a round, so they are made for who asks.
            trees = partial(boosting.trees, num_before + len(history), form="ubj")
            on_portion(replace(state, history=tuple(history), trees=trees, is_cut=is_cut))
    return replace(state, history=tuple(history), is_cut=is_cut)
