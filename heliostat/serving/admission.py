"""Whether a request may join the queue of a replica: from what waits, how fast that goes, and the caller's deadline."""

import math
from dataclasses import dataclass
from functools import cached_property

from heliostat.serving.problem import ExpiredError, MalformedError, OverloadedError

MAX_TIMEOUT_S = 600.0
# What a batch counts for, one batch later: some twenty batches are remembered.
_DECAY = 0.95


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a batch takes: a fixed part and a part a row, fitted to the latest batches (least squares)."""

    weight: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def after(self, num_rows: int, elapsed_s: float) -> "Pace":
        """The pace when a batch of so many rows took so long."""
        return Pace(
            weight=self.weight * _DECAY + 1,
            rows=self.rows * _DECAY + num_rows,
            seconds=self.seconds * _DECAY + elapsed_s,
            squares=self.squares * _DECAY + num_rows * num_rows,
            products=self.products * _DECAY + num_rows * elapsed_s,
        )

    def wait_s(self, num_rows: int, *, max_batch_rows: int) -> float:
        """How long the rows ahead will take; 0 before the first batch, and rather too little than too much."""
        if not self.weight or not num_rows:
            return 0.0
        per_batch_s, per_row_s = self._parts
        return math.ceil(num_rows / max_batch_rows) * per_batch_s + num_rows * per_row_s

    def rows_within(self, limit_s: float, *, most: int) -> int:
        """How many rows a batch may have to take no longer than `limit_s`: 1 to `most`, which is said while in doubt.

        Where a batch's fixed part alone is most of the limit or more, small batches would only waste it: then rows may
        take as long as the fixed part.
        """
        if not self.weight:
            return most
        per_batch_s, per_row_s = self._parts
        if not per_row_s:
            return most
        return max(1, min(most, int(max(limit_s - per_batch_s, per_batch_s) / per_row_s)))

    def rows_strictly_within(self, limit_s: float, *, most: int) -> int:
        """How many rows a batch may have to take no longer than `limit_s`, its fixed part with it: 0 to `most`.

        `most` is said while in doubt.
        """
        if not self.weight:
            return most
        per_batch_s, per_row_s = self._parts
        left_s = limit_s - per_batch_s
        if left_s < 0:
            return 0
        return min(most, int(left_s / per_row_s)) if per_row_s else most

    @cached_property  # every request asks, and it changes with every batch
    def _parts(self) -> tuple[float, float]:
        """Seconds a batch and seconds a row."""
        spread = self.squares - self.rows * self.rows / self.weight
        slope = (self.products - self.rows * self.seconds / self.weight) / spread if spread > 1e-6 else 0.0
        # Batches of one size say nothing of larger ones, so then all of it is taken for the fixed part.
        per_row_s = max(0.0, slope)
        return max(0.0, (self.seconds - per_row_s * self.rows) / self.weight), per_row_s


def refuse_overload(num_rows: int, *, ahead: int, max_waiting_rows: int, wait_s: float, left_s: float) -> None:
    """OverloadedError when the rows would overfill the queue or be answered too late; alone they always may go.

    `ahead` are the rows before them, which take `wait_s`; their caller waits for `left_s` more.
    """
    if ahead and ahead + num_rows > max_waiting_rows:
        raise OverloadedError.retry_after(
            f"{ahead} rows wait already, and with {num_rows} more there would be over {max_waiting_rows}; "
            "send them again later.",
            wait_s,
        )
    if wait_s > left_s:
        raise OverloadedError.retry_after(
            f"{ahead} rows wait already and take about {wait_s:.3f} s, longer than this request waits "
            f"({max(0.0, left_s):.3f} s); send it again later.",
            wait_s - left_s,
        )


def refuse_expired(left_s: float, *, timeout_s: float) -> ExpiredError | None:
    """What to tell a request whose time is over before the model ran, None while it has some left."""
    if left_s > 0:
        return None
    return ExpiredError(f"The request was not answered within {timeout_s:g} s and was dropped unscored; send it again.")


def timeout_of(header: str | None, *, default_s: float) -> float:
    """How long a request waits for its answer; MalformedError when its header says no usable number."""
    if header is None:
        return default_s
    try:
        timeout_s = float(header)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise MalformedError(
            f"X-Request-Timeout-Seconds must be a number above 0, at most {MAX_TIMEOUT_S:g}; got {header!r:.40}."
        )
    return timeout_s
