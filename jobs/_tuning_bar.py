"""How far a search is, for the bar that a person at a terminal sees."""

import math
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from jobs._reached import Reached, ReachedFile
from jobs._tuning import SCORE


def best_score(trials: Sequence[Trial], *, higher_is_better: bool) -> float:
    """The best last score of these trials; NaN where none has one."""
    scores = [float(each.last_result.get(SCORE, math.nan)) for each in trials]
    finite = [score for score in scores if math.isfinite(score)] or [math.nan]
    return max(finite) if higher_is_better else min(finite)


class Bar(Callback):
    """Trials that have ended, of all; how many run, and the best so far."""

    def __init__(self, file: ReachedFile, *, workload: str, num_trials: int, higher_is_better: bool) -> None:
        self._file, self._workload = file, workload
        self._num_trials, self._higher_is_better = num_trials, higher_is_better

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Told by Ray whenever it has looked after the trials."""
        if not self._file.is_due():
            return
        ended = [each for each in trials if each.status in (Trial.TERMINATED, Trial.ERROR)]
        num_running = sum(each.status == Trial.RUNNING for each in trials)
        best = best_score(trials, higher_is_better=self._higher_is_better)
        words = f"{num_running} running" + ("" if math.isnan(best) else f", best {best:.4f}")
        reached = Reached(
            workload=self._workload, name="trials", num_done=len(ended), num_all=self._num_trials, words=words
        )
        self._file.tell(reached)

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        """Told by Ray."""
        self._file.end()
