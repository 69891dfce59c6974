"""How long answers may be given again, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Rows that a version has answered within `ttl` get the same answer again without asking the model.

    Each replica keeps what was used last in up to `max_bytes`. It pays where the model takes far longer than 10 µs a
    row and rows repeat: same version, same values of all columns.
    """

    max_bytes: int = 64_000_000
    ttl: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.max_bytes >= 1_000_000:
            raise WorkloadError(f"{self}: max_bytes must be at least 1,000,000.")
        if self.ttl <= timedelta(0):
            raise WorkloadError(f"{self}: ttl must be above zero; leave the cache out to keep nothing.")
