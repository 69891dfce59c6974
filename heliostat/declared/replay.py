"""Which part of the past a local run plays, as a workload declares it."""

from dataclasses import dataclass
from datetime import datetime

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The past that `make run` plays: all before `since` is history to start from."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.since.tzinfo is None or self.until.tzinfo is None or not self.since < self.until:
            raise WorkloadError(f"{self}: give two instants with a time zone, the first before the second.")
