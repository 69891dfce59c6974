"""How many replicas a load asks for: from what is in work, what was answered lately, and how slowly.

Serve's controller, which decides, does not have this project's code: a copy of this file, under a name of its own, is
on the path of Ray's processes (`cluster.ingress.install_hooks`). So it imports nothing of ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODULE = "heliostat_serve_scaling"
"""What this file is called there."""

# What a replica reports of itself, averaged by Serve over the last seconds.
NUM_ANSWERED = "num_answered"
SLOWEST_MS = "slowest_ms"
# One step at most doubles: what slow answers call for is a guess until the new replicas answer too.
_MAX_LATENCY_STEP = 2.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a deployment has to do: requests in work or waiting, answers lately, the slowest answer of a second."""

    num_replicas: int
    num_ongoing: float
    num_answered: float = 0.0
    slowest_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What a workload declares: see `heliostat.declared.scaling.Scaling`."""

    min_replicas: int
    target_ongoing_requests: float
    target_latency_ms: float | None
    may_be_zero: bool


def wanted_replicas(load: Load, targets: Targets) -> int:
    """How many replicas should answer this load; bounds from above and delays are Serve's to keep."""
    if load.num_ongoing <= 0 and load.num_answered <= 0:
        return 0 if targets.may_be_zero else targets.min_replicas
    by_number = load.num_ongoing / targets.target_ongoing_requests
    return max(targets.min_replicas, math.ceil(by_number), math.ceil(_by_latency(load, targets)))


def _by_latency(load: Load, targets: Targets) -> float:
    if targets.target_latency_ms is None:
        return 0.0
    ratio = load.slowest_ms / targets.target_latency_ms
    # Where no two requests meet, the model itself is slow, and another replica would be as slow.
    if ratio > 1 and load.num_ongoing <= load.num_replicas:
        return float(load.num_replicas)
    return load.num_replicas * min(ratio, _MAX_LATENCY_STEP)


class ScalingPolicy:
    """The decision in the form in which Serve asks for it; Serve makes it with the fields of Targets."""

    def __init__(self, **targets: Any) -> None:
        self._targets = Targets(**targets)

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """The wanted number of replicas, and no state."""
        if context.current_num_replicas == 0:
            # Serve itself starts the first as soon as a request waits; until it is up, nothing is known.
            return context.target_num_replicas, {}
        return wanted_replicas(_load(context), self._targets), {}


def _load(context: Any) -> Load:
    reported: Mapping[str, Mapping[Any, float]] = context.aggregated_metrics or {}
    return Load(
        num_replicas=context.current_num_replicas,
        num_ongoing=context.total_num_requests,
        num_answered=sum(reported.get(NUM_ANSWERED, {}).values()),
        slowest_ms=max(reported.get(SLOWEST_MS, {}).values(), default=0.0),
    )
