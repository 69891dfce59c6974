"""What learning again may cost and what a better answer is worth, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Economics:
    """A turn starts when what it is expected to gain within `horizon` is worth more than its run costs.

    `value_per_loss` is what one unit of loss less on one row is worth, in the same currency as `cost_per_cpu_hour`.
    With a `budget`, the runs of any `budget_span` cost at most so much, those that broke counted. Turns in vain count
    as gaining nothing until a `horizon` after their end.
    """

    value_per_loss: float
    cost_per_cpu_hour: float
    horizon: timedelta = timedelta(days=30)
    budget: float | None = None
    budget_span: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not (self.value_per_loss > 0 and self.cost_per_cpu_hour >= 0):  # neither holds of NaN
            raise WorkloadError(f"{self}: value_per_loss must be above 0, cost_per_cpu_hour not negative.")
        if self.horizon <= timedelta(0) or self.budget_span <= timedelta(0):
            raise WorkloadError(f"{self}: horizon and budget_span must be above 0.")
        if self.budget is not None and not self.budget > 0:
            raise WorkloadError(f"{self}: budget must be above 0; None means no limit.")
