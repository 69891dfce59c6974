"""What a user declares: one frozen record in one file, checked before anything runs."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import metrics as metrics_module
from heliostat.columns import Binary, Column
from heliostat.errors import WorkloadError
from heliostat.gates import BetterThanConstant, Gate, NoWorseThanChampion
from heliostat.metrics import Metric
from heliostat.triggers import Age, Decay, Trigger

if TYPE_CHECKING:  # torch takes seconds to import, and most parts that read a declaration never need it
    import torch
    from torch import nn

Batch = Mapping[str, NDArray[np.generic]]
"""Prepared columns: numbers float64 clamped to the range seen in training (NaN: missing), categories int64 codes."""

Encoded = Mapping[str, "torch.Tensor"]


class Source(Protocol):
    """Where rows come from, in parts that can be read side by side."""

    def parts(self) -> Sequence[str]:
        """The names of all parts, in time order."""

    def read(self, part: str) -> pa.Table:
        """One part as a flat table: key, event time, due time, input columns, label and its time."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a candidate is fitted."""

    epochs: int = 5
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.1
    windows: tuple[timedelta | None, ...] = (None,)
    seed: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0 or self.num_workers < 1:
            raise WorkloadError(f"{self}: epochs, batch_size, learning_rate and num_workers must be above 0.")
        if not 0 < self.validation_share < 0.5:
            raise WorkloadError(f"{self}: validation_share must lie between 0 and 0.5.")
        if not self.windows:
            raise WorkloadError(f"{self}: windows must name at least one span; None means all history.")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How answers are given.

    A replica refuses (503) what would make over `max_waiting_rows` rows wait, or what it cannot answer within the
    caller's X-Request-Timeout-Seconds, `request_timeout_s` without that header. A key may send `requests_per_s` in the
    long run and `burst_requests` at once (a second's worth when None) over all replicas, of which each gives an even
    part; None is no limit, and steering is never limited. `default` is the probability that is answered, degraded,
    when no version can; None refuses (503).
    """

    num_replicas: int = 2
    max_rows_per_request: int = 10_000
    max_body_bytes: int = 10_000_000
    longest_due: timedelta = timedelta(days=366)
    request_timeout_s: float = 30.0
    max_waiting_rows: int = 50_000
    requests_per_s: float | None = None
    burst_requests: int | None = None
    default: float | None = None

    def __post_init__(self) -> None:
        counts = (self.num_replicas, self.max_rows_per_request, self.max_body_bytes, self.max_waiting_rows)
        if min(counts) < 1:
            raise WorkloadError(f"{self}: every number must be at least 1.")
        if not 0 < self.request_timeout_s <= 600:
            raise WorkloadError(f"{self}: request_timeout_s must lie above 0 and at most at 600.")
        if self.requests_per_s is not None and not 0 < self.requests_per_s < float("inf"):
            raise WorkloadError(f"{self}: requests_per_s must be above 0; None means no limit.")
        if self.burst_requests is not None and (self.requests_per_s is None or self.burst_requests < 1):
            raise WorkloadError(f"{self}: burst_requests must be at least 1, and needs requests_per_s.")
        if self.default is not None and not 0 <= self.default <= 1:
            raise WorkloadError(f"{self}: default must be a probability from 0 to 1; None means none.")


@dataclass(frozen=True, kw_only=True)
class Loop:
    """How often the loop may turn, and how a candidate earns its traffic."""

    cooldown: timedelta = timedelta(days=14)
    max_turns: int | None = None
    min_holdout_rows: int = 200
    canary_shares: tuple[float, ...] = (0.25,)
    canary_span: timedelta = timedelta(days=1)
    holdout_span: timedelta = timedelta(days=7)
    window: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        if self.cooldown < timedelta(0) or self.canary_span < timedelta(0):
            raise WorkloadError(f"{self}: cooldown and canary_span must not be negative.")
        if self.holdout_span <= timedelta(0) or self.window <= timedelta(0):
            raise WorkloadError(f"{self}: holdout_span and window must be above zero.")
        if not all(0 < share <= 1 for share in self.canary_shares):
            raise WorkloadError(f"{self}: each of canary_shares must lie above 0 and at most at 1.")
        if self.max_turns is not None and self.max_turns < 0:
            raise WorkloadError(f"{self}: max_turns must not be negative; None means no limit.")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The past that `make run` plays: all before `since` is history to start from."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None or not self.since < self.until:
            raise WorkloadError(f"{self}: give two instants with a time zone, the first before the second.")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One use case: data, columns, model, gates, triggers."""

    name: str
    source: Source
    key: str
    event_time: str
    due_time: str
    label_time: str
    columns: Sequence[Column]
    label: Binary
    encode: Callable[[Batch], Encoded]
    model: Callable[[Mapping[str, int]], "nn.Module"]
    loss: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None" = None
    metrics: Sequence[Metric] = metrics_module.ALL
    gates: Sequence[Gate] = (
        BetterThanConstant(metrics_module.log_loss),
        NoWorseThanChampion(metrics_module.log_loss),
    )
    retrain_on: Sequence[Trigger] = (Age(timedelta(days=30)),)
    training: Training = field(default_factory=Training)
    serving: Serving = field(default_factory=Serving)
    loop: Loop = field(default_factory=Loop)
    replay: Replay | None = None

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise WorkloadError(
                f"The name of a workload becomes part of its address; got {self.name!r}. Use letters, digits, - and _."
            )
        if not self.columns:
            raise WorkloadError(f"Workload {self.name!r} declares no columns; a model needs at least one input.")
        self._refuse_twice_named()

    @property
    def scored_by(self) -> tuple[Metric, ...]:
        """All that a version is scored by: the built-in metrics, the declared ones, those of gates and triggers."""
        asked = [gate.metric for gate in self.gates]
        asked += [trigger.metric for trigger in self.retrain_on if isinstance(trigger, Decay)]
        return tuple(dict.fromkeys([*metrics_module.ALL, *self.metrics, *asked]))

    def _refuse_twice_named(self) -> None:
        own = [self.key, self.event_time, self.due_time, self.label_time, self.label.name]
        names = [column.name for column in self.columns] + own
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise WorkloadError(
                f"Workload {self.name!r} names {', '.join(twice)} more than once; an input cannot be the key, "
                "a time or the label too. Leave it out of `columns`."
            )


def load(name: str) -> Workload:
    """The variable `workload` of the module called `name` (for example "workloads.flights")."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise WorkloadError(f"No workload {name!r}; there are: {', '.join(_names())}.") from error
    workload = getattr(module, "workload", None)
    if not isinstance(workload, Workload):
        raise WorkloadError(f"{name} has no variable `workload` that is a Workload; add `workload = Workload(...)`.")
    return workload


def _names() -> list[str]:
    package = importlib.import_module("workloads")
    return [f"workloads.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
