"""Gradient-boosted trees, as a workload declares them beside its network or instead of one."""

from dataclasses import dataclass
from math import inf

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types

PORTION_ROUNDS = 50  # after so many a fit keeps where it is, tells it, and may pause


@dataclass(frozen=True, kw_only=True)
class Trees:
    """How trees are boosted: at most `rounds` of them, until `patience` more make no later row's answer better.

    `row_share` and `column_share` are what each tree sees; `threads` is for fitting (as many as
    `Training(cpus_per_worker)` takes of the pool), answers take one.
    """

    rounds: int = 1000
    learning_rate: float = 0.05
    depth: int = 6
    row_share: float = 0.8
    column_share: float = 0.8
    patience: int = 50
    threads: int = 1

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if min(self.rounds, self.depth, self.patience, self.threads) < 1 or not 0 < self.learning_rate < inf:
            raise WorkloadError(f"{self}: rounds, depth, patience, threads and learning_rate must be above 0.")
        if not 0 < self.row_share <= 1 or not 0 < self.column_share <= 1:
            raise WorkloadError(f"{self}: row_share and column_share must lie above 0, and be 1 at most.")
