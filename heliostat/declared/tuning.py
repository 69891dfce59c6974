"""What may be tuned, as a workload declares it: settings of the training, of the network, or of the trees."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta

from heliostat.declared.training import Training
from heliostat.declared.trees import PORTION_ROUNDS, Trees
from heliostat.errors import WorkloadError
from heliostat.metrics import Metric
from heliostat.typed import refuse_wrong_types

MODEL, TREES = "model.", "trees."
TUNABLE = ("epochs", "batch_size", "learning_rate", "weight_decay")
WHOLE = ("epochs", "batch_size", "trees.rounds", "trees.depth", "trees.patience", "trees.threads")
Value = int | float | str | bool
Configuration = Mapping[str, Value]
"""One point of a search space: the value of each tuned setting."""


@dataclass(frozen=True)
class Between:
    """Any number from `low` to `high`; spread evenly over its logarithm with `log`, whole with `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise WorkloadError(f"{self}: low must lie below high, and both be finite.")
        if self.log and self.low <= 0:
            raise WorkloadError(f"{self}: on a logarithmic scale low must be above 0.")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise WorkloadError(f"{self}: the ends of a span of whole numbers must be whole.")

    def has(self, value: Value) -> bool:
        """Whether the value is one of the span."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class OneOf:
    """One of these values."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if len(set(self.values)) < 2 or len(set(self.values)) != len(self.values):
            raise WorkloadError(f"{self}: name at least two values, each once.")

    def has(self, value: Value) -> bool:
        """Whether the value is one of them."""
        return value in self.values


Space = Mapping[str, Between | OneOf]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How `jobs.tune` searches: at most `num_trials` fits. Once `time_limit` has passed (None: no limit) none begins,
    and those that run end there, compared by the epochs that they have done.

    Names of the space: a setting of Training, `model.NAME` for a keyword argument of the workload's `model`, or, if
    all are such, `trees.NAME`. `metric` is what the later rows are scored by (None: the loss). A trial that is worse
    than all but one in `reduction` of those that came as far, after `first_epochs` and then again and again, is ended.
    Every 50 rounds of trees count as an epoch there, and a slow learning rate looks worse early than it ends.
    """

    space: Space
    num_trials: int = 20
    time_limit: timedelta | None = None
    metric: Metric | None = None
    max_concurrent: int = 4
    first_epochs: int = 1
    reduction: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        spans = self.space.items() if isinstance(self.space, Mapping) else ()
        odd = [name for name, span in spans if not isinstance(span, Between | OneOf)]
        if odd:
            raise WorkloadError(
                f"Tuning(space=...) has {self.space[odd[0]]!r} for {odd[0]!r}; give Between(low, high) or OneOf."
            )
        refuse_wrong_types(self)
        if not self.space:
            raise WorkloadError("Tuning needs a space: name at least one setting, such as learning_rate.")
        if min(self.num_trials, self.max_concurrent, self.first_epochs) < 1 or self.reduction < 2:
            raise WorkloadError(
                f"Tuning(num_trials={self.num_trials}, max_concurrent={self.max_concurrent}, "
                f"first_epochs={self.first_epochs}, reduction={self.reduction}): reduction must be at least 2, the "
                "others at least 1."
            )
        if self.seed < 0:
            raise WorkloadError(f"Tuning(seed={self.seed}) must not be negative.")
        if self.time_limit is not None and self.time_limit <= timedelta():
            raise WorkloadError(f"Tuning(time_limit={self.time_limit}) must be above 0; None means no limit.")
        self._refuse_unknown()
        self._refuse_unfit_values()

    @property
    def kind(self) -> str:
        """The kind of model that is tuned."""
        return "trees" if all(name.startswith(TREES) for name in self.space) else "network"

    @property
    def first_compared(self) -> int:
        """After how many epochs of a network, or rounds of trees, trials are compared for the first time."""
        return self.first_epochs * (PORTION_ROUNDS if self.kind == "trees" else 1)

    def most_epochs(self, declared: int) -> int:
        """How many epochs, or rounds, the longest trial has, where so many are declared: all are compared so far."""
        span = self.space.get("trees.rounds" if self.kind == "trees" else "epochs")
        if span is None:
            return max(declared, self.first_compared)
        return max(int(span.high) if isinstance(span, Between) else max(map(int, span.values)), self.first_compared)

    def _refuse_unknown(self) -> None:
        trees = [TREES + each.name for each in fields(Trees)]
        known = trees if self.kind == "trees" else list(TUNABLE)
        unknown = [name for name in self.space if name not in known and not self._is_models(name)]
        if unknown:
            raise WorkloadError(
                f"Tuning cannot vary {', '.join(map(repr, unknown))}; it varies {', '.join(TUNABLE)} and model.NAME of "
                f"a network, or, with nothing else, {', '.join(trees)}."
            )

    def _is_models(self, name: str) -> bool:
        return self.kind == "network" and name.startswith(MODEL) and name.removeprefix(MODEL).isidentifier()

    def _refuse_unfit_values(self) -> None:
        """Ends of spans and values that the setting itself refuses are refused here, before any trial."""
        for name, span in self.space.items():
            if name in WHOLE and not (
                span.whole if isinstance(span, Between) else all(isinstance(v, int) for v in span.values)
            ):
                raise WorkloadError(f"{name} takes whole numbers; use Between(..., whole=True) or whole values.")
            for value in span.values if isinstance(span, OneOf) else (span.low, span.high):
                whole = int(value) if isinstance(span, Between) and span.whole else value
                _refuse_unfit_value(name, whole)


def _refuse_unfit_value(name: str, value: Value) -> None:
    if name.startswith(TREES):
        Trees(**{name.removeprefix(TREES): value})  # type: ignore[arg-type]
    elif not name.startswith(MODEL):
        Training(**{name: value})  # type: ignore[arg-type]
