"""Long answers (`v1/jobs`), as a workload declares them."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class LongAnswers:
    """What may be asked at `v1/jobs`, and how long results stay.

    `input_prefixes` are the folders and URIs from which a job may read, `callback_prefixes` the URLs that may be told
    of its end; with neither, rows come in the body and the caller asks for the state. A job fails when over
    `max_rejected_rows` rows break the contract. A callback that fails is tried again after each of `callback_waits_s`.
    """

    max_rows: int = 1_000_000
    max_body_bytes: int = 64_000_000
    max_waiting: int = 100
    max_rejected_rows: int = 1_000
    keep: timedelta = timedelta(days=7)
    input_prefixes: tuple[str, ...] = ()
    callback_prefixes: tuple[str, ...] = ()
    callback_waits_s: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 3600.0)

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        counts = (self.max_rows, self.max_body_bytes, self.max_waiting)
        if not all(count >= 1 for count in counts) or not self.max_rejected_rows >= 0:
            raise WorkloadError(f"{self}: max_rows, max_body_bytes and max_waiting must be at least 1.")
        if self.keep <= timedelta(0) or not all(0 <= wait_s <= 86_400 for wait_s in self.callback_waits_s):
            raise WorkloadError(f"{self}: keep must be above zero, and each of callback_waits_s from 0 to 86,400.")
        if not all(prefix.startswith(("https://", "http://")) for prefix in self.callback_prefixes):
            raise WorkloadError(f"{self}: callback_prefixes must be URLs such as https://hooks.example.com/heliostat/.")
        if not all("://" in prefix or prefix.startswith("/") for prefix in self.input_prefixes):
            raise WorkloadError(f"{self}: input_prefixes must be absolute paths or URIs such as s3://bucket/asked/.")
