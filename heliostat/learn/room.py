"""How many trials may run: they fill what nobody uses, and give way when anybody waits."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one trial takes, what always stays free for others (the same units), and the most trials at once."""

    per_trial: float
    kept_free: float
    max_concurrent: int

    def trials_that_fit(self, *, free: float, num_running: int, num_waiting_others: int) -> int:
        """How many trials may run in all, those that run included; 0 while somebody else cannot be placed."""
        if num_waiting_others > 0:
            return 0
        more = math.floor((free - self.kept_free) / self.per_trial + 1e-9)
        return max(0, min(self.max_concurrent, num_running + more))
