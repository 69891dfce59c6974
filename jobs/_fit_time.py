"""The time of a run's fits: what all attempts at it have used, and what each fit may take of the rest."""

import time
from datetime import timedelta

from heliostat.learn import parallel
from heliostat.learn.fit_time import Pace, share_s
from heliostat.learn.run_epochs import IsOver
from jobs._attempts import Trace
from jobs._windows import Parts


class FitTime:
    """`Training(fit_time)` as a run uses it up; the first worker's clock counts."""

    def __init__(self, limit: timedelta | None, trace: Trace, *, before_s: float) -> None:
        """`before_s` is what earlier attempts used."""
        self.limit, self._trace, self._before_s = limit, trace, before_s

    @property
    def is_up(self) -> bool:
        """Whether no fit begins any more; all workers ask."""
        return self.limit is not None and parallel.first_says(self._left_s(self.limit) < 0)

    def is_over(self, chosen: Parts, *, num_judged: int, num_again: int) -> IsOver | None:
        """When the fit of these parts that begins now must end, with so many to come; None without a limit."""
        if self.limit is None:
            return None
        costs = chosen.all.num_rows / chosen.train.num_rows
        may_take_s = share_s(self._left_s(self.limit), num_judged=num_judged, num_again=num_again, again_costs=costs)
        pace = Pace(may_take_s, began_s=time.monotonic())
        return lambda num_done: parallel.first_says(pace.is_over(num_done, now_s=time.monotonic()))

    def _left_s(self, limit: timedelta) -> float:
        return limit.total_seconds() - self._before_s - self._trace.used_s
