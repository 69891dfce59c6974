"""When a version that keeps failing is left alone for a while: closed, open, half-open; the time is passed in.

Closed, every batch may try it. After `MAX_FAILURES` in a row it is open and nobody waits for it to fail again. When
its rest is over one batch tries it (half-open): success closes it, failure makes the next rest twice as long.
"""

from dataclasses import dataclass, replace
from typing import Literal

MAX_FAILURES = 5
FIRST_REST_S = 2.0
LONGEST_REST_S = 60.0

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """What is known of one version: failures in a row, and until when it rests."""

    num_failures: int = 0
    rest_s: float = FIRST_REST_S
    rests_until_s: float | None = None
    is_tried: bool = False

    def state(self, now_s: float) -> State:
        """Closed, open, or half-open, which is open with its rest over."""
        if self.rests_until_s is None:
            return "closed"
        return "open" if now_s < self.rests_until_s else "half-open"

    def allows(self, now_s: float) -> bool:
        """Whether a batch may try the version now: half-open, only one at a time."""
        state = self.state(now_s)
        return state == "closed" or (state == "half-open" and not self.is_tried)

    def tried(self, now_s: float) -> "Breaker":
        """The breaker while a batch tries; say `succeeded` or `failed` afterwards."""
        return replace(self, is_tried=True) if self.state(now_s) == "half-open" else self

    def succeeded(self) -> "Breaker":
        """The breaker after an answer: closed, and all failures forgotten."""
        return Breaker()

    def failed(self, now_s: float) -> "Breaker":
        """The breaker after a failure."""
        num_failures = self.num_failures + 1
        if num_failures < MAX_FAILURES:
            return replace(self, num_failures=num_failures)
        rest_s = self.rest_s if self.rests_until_s is None else min(LONGEST_REST_S, 2 * self.rest_s)
        return Breaker(num_failures=num_failures, rest_s=rest_s, rests_until_s=now_s + rest_s)
