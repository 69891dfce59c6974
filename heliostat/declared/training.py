"""How candidates are fitted, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError


@dataclass(frozen=True, kw_only=True)
class Training:
    """How candidates are fitted; none begins once `fit_time` has passed, but the first is always fitted."""

    epochs: int = 5
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.1
    windows: tuple[timedelta | None, ...] = (None,)
    seed: int = 0
    num_workers: int = 1
    fit_time: timedelta | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0 or self.num_workers < 1:
            raise WorkloadError(f"{self}: epochs, batch_size, learning_rate and num_workers must be above 0.")
        if not 0 < self.validation_share < 0.5:
            raise WorkloadError(f"{self}: validation_share must lie between 0 and 0.5.")
        if self.fit_time is not None and self.fit_time <= timedelta():
            raise WorkloadError(f"{self}: fit_time must be above 0; None means as long as it takes.")
        if not self.windows:
            raise WorkloadError(f"{self}: windows must name at least one span; None means all history.")
