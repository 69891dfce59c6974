"""Ray Tune's searcher and scheduler, made to use what is idle: without room nothing begins, and what runs pauses."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Domain

from cluster import idle
from heliostat.declared.tuning import Between, OneOf
from heliostat.learn.room import Demand

FRESH_S = 1.0
SAID_EVERY_S = 60.0


class Room:
    """How many more trials there is room for; asks the cluster at most once a second."""

    def __init__(self, demand: Demand, *, uses_gpu: bool) -> None:
        self.demand, self.uses_gpu = demand, uses_gpu
        self._seen: idle.Idle | None = None
        self._seen_at_s = self._said_at_s = float("-inf")

    def fits(self, *, num_running: int, num_pending: int) -> int:
        """How many trials may run in all; while the cluster does not say what is free, as many as run."""
        if self._seen is None or time.monotonic() - self._seen_at_s > FRESH_S:
            try:
                self._seen, self._seen_at_s = idle.read(), time.monotonic()
            except RayError as error:  # too busy to answer: raised here, it would end the search
                print(f"what is free is not known ({type(error).__name__}); no trial begins until it is", flush=True)
                return num_running
        free = self._seen.num_gpus if self.uses_gpu else self._seen.num_cpus
        # Ray counts a trial that is about to be placed among those that wait.
        num_waiting_others = self._seen.num_waiting - num_pending
        found = self.demand.trials_that_fit(free=free, num_running=num_running, num_waiting_others=num_waiting_others)
        if found == num_running == 0:
            self._say_why(free, num_waiting_others)
        return found

    def _say_why(self, free: float, num_waiting_others: int) -> None:
        """One line a minute for as long as nothing can run."""
        if time.monotonic() - self._said_at_s < SAID_EVERY_S:
            return
        self._said_at_s = time.monotonic()
        unit = "GPUs" if self.uses_gpu else "CPUs"
        others = f", and Ray cannot place {num_waiting_others} tasks of others" if num_waiting_others > 0 else ""
        print(
            f"no trial runs: {free:.2f} {unit} are free, a trial takes {self.demand.per_trial:g} and leaves "
            f"{self.demand.kept_free:g}{others}; it goes on when there is room",
            flush=True,
        )

    def looked_away(self) -> None:
        """What was seen does not hold any more: a trial began or ended."""
        self._seen = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": None, "_seen_at_s": float("-inf"), "_said_at_s": float("-inf")}


class FillingScheduler(ASHAScheduler):
    """Successive halving that pauses a trial after an epoch when others need what it takes, and goes on later.

    Has Ray store the search as soon as a trial ends: by itself it does so every ten seconds, and a killed search would
    do again what ended since. Keeps in the file `kept_in` what trials are compared with, which Ray forgets.
    """

    def __init__(self, room: Room, *, kept_in: str, **options: Any) -> None:
        super().__init__(**options)
        self.room = room
        self.kept_in = Path(kept_in)
        self.num_pauses = 0
        self._has_news = self._is_restored = False

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Told by Ray of each new trial, and of all there were where a search goes on."""
        if not self._is_restored and self.kept_in.exists():
            self.restore(str(self.kept_in))
        self._is_restored = True
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """ASHA's decision, but a pause where a trial that should go on has no room."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        running, pending = _counts(tune_controller)
        if decision != TrialScheduler.CONTINUE or self.room.fits(num_running=running, num_pending=pending) >= running:
            return decision
        self.num_pauses += 1
        self.room.looked_away()
        print("a trial is paused: others need the room", flush=True)
        return TrialScheduler.PAUSE

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Told by Ray when a trial ends, before it counts as ended."""
        super().on_trial_complete(tune_controller, trial, result)
        self._has_news = True

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A trial that waits, where there is room for it; asked in every turn of Ray's loop."""
        if self._has_news:
            self._has_news = False
            self._keep()
            # Ray hands schedulers a wrapper that warns in the user's log of each such call.
            getattr(tune_controller, "_tune_controller", tune_controller).checkpoint(force=True)
        chosen = super().choose_trial_to_run(tune_controller)
        if chosen is None or chosen.status == Trial.PENDING:
            return chosen
        running, pending = _counts(tune_controller)
        if pending or self.room.fits(num_running=running, num_pending=pending) <= running:
            return None
        self.room.looked_away()
        return chosen

    def _keep(self) -> None:
        unfinished = self.kept_in.with_suffix(".new")
        self.save(str(unfinished))
        unfinished.replace(self.kept_in)


class FillingSearch(OptunaSearch):
    """Optuna's suggestions, each only when there is room to try it."""

    def __init__(self, room: Room, **options: Any) -> None:
        super().__init__(**options)
        self.room = room
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next configuration; None, which asks to be asked again, while there is no room."""
        if self.room.fits(num_running=len(self._live), num_pending=0) <= len(self._live):
            return None
        self._live.add(trial_id)
        self.room.looked_away()
        suggested: dict[str, Any] | None = super().suggest(trial_id)
        return suggested

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Told by Ray when a trial ended."""
        self._live.discard(trial_id)
        super().on_trial_complete(trial_id, result=result, error=error)


def _counts(tune_controller: Any) -> tuple[int, int]:
    statuses = [trial.status for trial in tune_controller.get_trials()]
    return statuses.count(Trial.RUNNING), statuses.count(Trial.PENDING)


def domain(span: Between | OneOf) -> Domain:
    """The span as Ray Tune says it; the upper end of whole numbers counts."""
    if isinstance(span, OneOf):
        return _named(tune.choice, list(span.values))
    if span.whole:
        return _named(tune.lograndint if span.log else tune.randint, int(span.low), int(span.high) + 1)
    return _named(tune.loguniform if span.log else tune.uniform, span.low, span.high)


def _named(make: Callable[..., Domain], *arguments: Any) -> Domain:
    return make(*arguments)
