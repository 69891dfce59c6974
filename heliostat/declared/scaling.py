"""How many replicas answer, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """As many replicas as the load asks for.

    Each should have `target_ongoing_requests` in work or waiting; more are started when requests wait for each other
    and the slowest answer of a second takes longer than `target_latency_ms` (None: only the number counts). The load
    must last for `upscale_delay`, or stay low for `downscale_delay`. After `scale_to_zero_after` without a request
    none is left (None: `min_replicas` stay); the next request is held until one is up again, which takes seconds.
    """

    min_replicas: int = 1
    max_replicas: int = 4
    target_ongoing_requests: float = 8.0
    target_latency_ms: float | None = None
    upscale_delay: timedelta = timedelta(seconds=5)
    downscale_delay: timedelta = timedelta(minutes=2)
    scale_to_zero_after: timedelta | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise WorkloadError(
                f"{self}: min_replicas must be at least 1 and at most max_replicas; "
                "for none without load declare scale_to_zero_after."
            )
        if not 0 < self.target_ongoing_requests < float("inf"):
            raise WorkloadError(f"{self}: target_ongoing_requests must be above 0.")
        if self.target_latency_ms is not None and not 0 < self.target_latency_ms < float("inf"):
            raise WorkloadError(f"{self}: target_latency_ms must be above 0; None means no target.")
        delays = (self.upscale_delay, self.downscale_delay, self.scale_to_zero_after or timedelta(0))
        if min(delays) < timedelta(0):
            raise WorkloadError(f"{self}: no delay may be negative.")
