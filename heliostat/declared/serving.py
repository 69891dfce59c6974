"""How answers are given, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.declared.cache import Cache
from heliostat.declared.pool import Pool
from heliostat.declared.scaling import Scaling
from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types

# Serve ends a request without a time limit of its own after 60 s; ours must come first, because it says what to do.
LONGEST_TIMEOUT_S = 55.0
_SMALLEST_SHARE = 0.0001  # of a CPU or GPU that Ray can tell from none


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How answers are given.

    By `num_replicas`, or by as many as the load asks for when `scaling` is declared. Requests that wait go through the
    model together, as many as it answers within `max_batch_ms` by its pace so far; a larger one goes alone, and nobody
    waits for others to come.

    A replica refuses (503) what would make over `max_waiting_rows` rows wait, or what it cannot answer within the
    caller's X-Request-Timeout-Seconds, `request_timeout_s` without that header. A key may send `requests_per_s` in the
    long run and `burst_requests` at once (a second's worth when None) over all replicas, of which each gives an even
    part; None is no limit, and steering is never limited. `default` (a probability, a class or a quantity) is
    answered, degraded, when no version can; None refuses (503). With `pool` the workload shares replicas with others
    that say so, and has none of its own. With `cache` an equal row gets the same answer for a while.

    An event may lie `max_event_ahead` after its request at most, and fall due `longest_due` after it: the monitor keeps
    something of every window of time that holds a row.

    The cluster keeps `cpus_per_replica` CPUs for each replica (None: a twentieth, so that many workloads fit on few
    CPUs; how much a replica then gets, the system decides) and `gpus_per_replica` GPUs, on which its networks answer: a
    quarter lets four replicas share one. While code is upgraded there are twice as many replicas.
    """

    num_replicas: int = 2
    scaling: Scaling | None = None
    max_batch_ms: float = 20.0
    max_rows_per_request: int = 10_000
    max_body_bytes: int = 10_000_000
    longest_due: timedelta = timedelta(days=366)
    max_event_ahead: timedelta = timedelta(days=366)
    request_timeout_s: float = 30.0
    max_waiting_rows: int = 50_000
    requests_per_s: float | None = None
    burst_requests: int | None = None
    default: float | str | None = None
    pool: Pool | None = None
    cache: Cache | None = None
    cpus_per_replica: float | None = None
    gpus_per_replica: float = 0.0

    @property
    def fewest_replicas(self) -> int:
        """How many replicas answer when there is little to do; limits for all of them are shared out among so many."""
        return self.num_replicas if self.scaling is None else self.scaling.min_replicas

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        counts = (self.num_replicas, self.max_rows_per_request, self.max_body_bytes, self.max_waiting_rows)
        if not all(count >= 1 for count in counts):
            raise WorkloadError(f"{self}: every number must be at least 1.")
        if self.longest_due < timedelta(0) or self.max_event_ahead < timedelta(0):
            raise WorkloadError(f"{self}: longest_due and max_event_ahead must not be negative.")
        if not 0 < self.max_batch_ms < float("inf"):
            raise WorkloadError(f"{self}: max_batch_ms must be above 0.")
        if not 0 < self.request_timeout_s <= LONGEST_TIMEOUT_S:
            raise WorkloadError(
                f"{self}: request_timeout_s must lie above 0 and at most at {LONGEST_TIMEOUT_S:g}; "
                "a request that may take longer says so by X-Request-Timeout-Seconds."
            )
        if self.requests_per_s is not None and not 0 < self.requests_per_s < float("inf"):
            raise WorkloadError(f"{self}: requests_per_s must be above 0; None means no limit.")
        if self.burst_requests is not None and (self.requests_per_s is None or self.burst_requests < 1):
            raise WorkloadError(f"{self}: burst_requests must be at least 1, and needs requests_per_s.")
        if self.pool is not None and self.scaling is not None:
            raise WorkloadError(f"{self}: a workload of the pool has no replicas to scale; leave pool or scaling out.")
        self._refuse_shares()

    def _refuse_shares(self) -> None:
        cpus, gpus = self.cpus_per_replica, self.gpus_per_replica
        if self.pool is not None and (cpus is not None or gpus):
            raise WorkloadError(
                f"{self}: a workload of the pool has no replicas of its own; leave pool, or cpus_per_replica and "
                "gpus_per_replica out."
            )
        if cpus is not None and not _SMALLEST_SHARE <= cpus < float("inf"):
            raise WorkloadError(
                f"{self}: cpus_per_replica must be above 0, at least {_SMALLEST_SHARE}; None means a twentieth."
            )
        # Ray shares out one GPU, but not one and a half.
        is_share = gpus == 0 or _SMALLEST_SHARE <= gpus <= 1
        if not (is_share or (1 < gpus < float("inf") and gpus == int(gpus))):
            raise WorkloadError(
                f"{self}: gpus_per_replica must be 0, a share from {_SMALLEST_SHARE} to 1, or a whole number."
            )
