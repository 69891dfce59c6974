"""Which requests join a replica's queue, and how many go through the model together, from how fast that went so far."""

import time

from heliostat.serving.admission import Pace, refuse_expired, refuse_overload
from heliostat.serving.problem import ExpiredError, OverloadedError
from heliostat.serving.scaling import NUM_ANSWERED, SLOWEST_MS
from serve_apps.config import PredictorConfig

# A batch that takes longer runs beside the event loop: a call over gRPC, a health check and a body that is read take
# several turns of the loop, and would wait for a batch at each. To go to a thread and back takes a hundredth of this.
LONGEST_INLINE_S = 0.01


class Admission:
    """Keeps the books of what was answered.

    `rows_per_batch` may go through the model together, `rows_inline` of them on the event loop; `num_shed` counts what
    was refused or dropped for want of time.
    """

    def __init__(self, config: PredictorConfig) -> None:
        self._config, self._limits = config, config.limits
        self._pace = Pace()
        self.num_shed = 0
        self.rows_per_batch = config.max_rows_per_batch
        self.rows_inline = config.max_rows_inline
        # One thread counts and another tells, so neither sets the other's number back.
        self._num_answered = self._num_told = 0
        self._slowest_s = 0.0

    def refuse_overload(self, num_rows: int, *, ahead: int, deadline_s: float) -> None:
        """OverloadedError when the rows would overfill the queue behind those `ahead`, or be answered too late."""
        try:
            refuse_overload(
                num_rows,
                ahead=ahead,
                max_waiting_rows=self._limits.max_waiting_rows,
                wait_s=self._pace.wait_s(ahead, max_batch_rows=self.rows_per_batch),
                left_s=deadline_s - time.perf_counter(),
            )
        except OverloadedError:
            self.num_shed += 1
            raise

    def refuse_expired(self, *, started_s: float, deadline_s: float) -> ExpiredError | None:
        """What to tell a request whose deadline is over before the model ran, None while it has time left."""
        expired = refuse_expired(deadline_s - time.perf_counter(), timeout_s=deadline_s - started_s)
        self.num_shed += expired is not None
        return expired

    def answered(self, *, num_requests: int, num_rows: int, first_s: float, started_s: float) -> None:
        """A batch that began at `started_s` is answered; the first of its requests came at `first_s`."""
        ended_s = time.perf_counter()
        self._pace = pace = self._pace.after(num_rows, ended_s - started_s)
        limit_s = self._limits.max_batch_ms / 1000
        self.rows_per_batch = pace.rows_within(limit_s, most=self._config.max_rows_per_batch)
        self.rows_inline = pace.rows_strictly_within(LONGEST_INLINE_S, most=self._config.max_rows_inline)
        self._num_answered += num_requests
        # The first of a batch has waited longest.
        self._slowest_s = max(self._slowest_s, ended_s - first_s)

    def take_load(self) -> dict[str, float]:
        """How many requests were answered since this was last called, and how long the slowest took."""
        num_told, self._num_told = self._num_told, self._num_answered
        slowest_s, self._slowest_s = self._slowest_s, 0.0
        return {NUM_ANSWERED: float(self._num_told - num_told), SLOWEST_MS: slowest_s * 1000}
