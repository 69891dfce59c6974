"""What a search tells while it runs and when it is over, as lines for people."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from heliostat.declared.tuning import TREES, Configuration
from jobs._tuning import EPOCHS, ERROR, SCORE
from jobs._tuning_bar import best_score


class Lines(Callback):
    """One line a trial that ends, for the job's log."""

    def __init__(self, *, num_trials: int, higher_is_better: bool) -> None:
        self._num_trials, self._higher_is_better = num_trials, higher_is_better

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Told by Ray."""
        ended = [each for each in trials if each.status == Trial.TERMINATED or each is trial]
        best = best_score(ended, higher_is_better=self._higher_is_better)
        how = outcome(trial.last_result, unit=unit(trial.config))
        print(
            f"trial {len(ended)} of {self._num_trials}: {how}; best {best:.4f}; {settings(trial.config)}",
            flush=True,
        )


def unit(configuration: Configuration) -> str:
    """What a trial with these settings is counted in."""
    return "rounds" if any(name.startswith(TREES) for name in configuration) else "epochs"


def outcome(result: Mapping[str, Any], *, unit: str) -> str:
    """How one trial ended."""
    if ERROR in result:
        return f"failed: {result[ERROR]}"
    return f"{result.get(SCORE, math.nan):.4f} after {result.get(EPOCHS, 0)} {unit}"


def settings(configuration: Configuration) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name} {_value(value)}" for name, value in configuration.items())


def table(trials: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """All trials, the best first."""
    names = list(trials[0]["configuration"])
    widths = [max(16, len(name) + 2) for name in names]
    heads = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [title, "", f"{'trial':>5} {'score':>10} {unit(trials[0]['configuration']):>6}  {heads}"]
    for each in trials:
        score = "failed" if each["score"] is None else f"{each['score']:.4f}"
        configuration = each["configuration"]
        values = "".join(f"{_value(configuration[name]):>{width}}" for name, width in zip(names, widths, strict=True))
        lines.append(f"{each['trial']:>5} {score:>10} {each['epochs']:>6}  {values}")
    return "\n".join(lines)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
