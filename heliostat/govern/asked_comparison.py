"""What a caller wants compared."""

from dataclasses import dataclass
from datetime import datetime

from heliostat.tasks import BINARY, Task


@dataclass(frozen=True, kw_only=True)
class AskedComparison:
    """Which versions are compared, and on which rows; `version` None: the one on trial, `against` None: whichever.

    `since` None is what the version was trained until, for it answered nothing before; `until` None has no end.
    """

    lake_uri: str
    version: int | None = None
    against: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    task: Task = BINARY
