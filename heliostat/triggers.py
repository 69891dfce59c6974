"""What counts as a reason to retrain; `watch.monitor` evaluates these on closed windows."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Inputs moved: some column's population stability index stays above `psi` for `windows` windows in a row."""

    psi: float = 0.25
    windows: int = 3

    def __post_init__(self) -> None:
        if self.psi <= 0 or self.windows < 1:
            raise WorkloadError(
                f"Drift(psi={self.psi}, windows={self.windows}): psi must be above 0, windows at least 1."
            )


@dataclass(frozen=True)
class Decay:
    """Quality fell: the matured score is worse than the champion's hold-out score by more than `margin`."""

    metric: Metric
    margin: float
    min_rows: int = 1000

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.min_rows < 1:
            raise WorkloadError(
                f"Decay({self.metric}, margin={self.margin}, min_rows={self.min_rows}): both must be above 0."
            )


@dataclass(frozen=True)
class Age:
    """The champion is older than `limit` on the clock of the events."""

    limit: timedelta

    def __post_init__(self) -> None:
        if self.limit <= timedelta(0):
            raise WorkloadError(f"Age({self.limit}): the limit must be above zero.")


@dataclass(frozen=True)
class Growth:
    """There is more to learn from: since its training, labelled rows came to `share` of what the champion learned from.

    Turns follow at growing distances, each after the history grew by the same share: a new row teaches less the more
    there are, and soon after a start or a change each day counts most.
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        if self.share <= 0:
            raise WorkloadError(f"Growth({self.share}): the share must be above 0.")


Trigger = Drift | Decay | Age | Growth
