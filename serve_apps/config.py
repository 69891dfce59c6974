"""What a replica must know before it can answer: the workload's contract, its limits, and where things are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.declared.inputs import Combine, Input
from heliostat.declared.long_answers import LongAnswers
from heliostat.declared.serving import Serving
from heliostat.errors import SettingsError
from heliostat.serving.rows import Contract
from heliostat.settings import Settings
from heliostat.store.segments import Durability
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Fixed for the life of a replica; what changes while it runs is in the routing record."""

    workload: str
    contract: Contract
    limits: Serving
    long_answers: LongAnswers
    segments_dir: Path
    lake_uri: str
    inputs: tuple[Input, ...] = ()
    combine: Combine | None = None
    durability: Durability = "process"
    rotate_after_s: float = 0.2
    retry_after_s: float = 5.0
    max_rows_per_batch: int = 16_384
    max_rows_inline: int = 512

    def __post_init__(self) -> None:
        """Refuses values with which a replica could not work."""
        if self.rotate_after_s <= 0 or self.max_rows_per_batch < 1 or self.max_rows_inline < 0:
            raise SettingsError(
                f"rotate_after_s must be above 0, max_rows_per_batch at least 1, max_rows_inline at least 0: {self}."
            )

    @property
    def device(self) -> str:
        """Where networks answer."""
        return "cuda" if self.limits.gpus_per_replica else "cpu"

    @property
    def asks_others(self) -> bool:
        """Whether other workloads have a part in the answers."""
        return bool(self.inputs) or self.combine is not None

    @classmethod
    def of(cls, workload: Workload, settings: Settings, options: Mapping[str, Any]) -> "PredictorConfig":
        """The configuration of a workload in an installation; `options` sets the fields that have defaults."""
        return cls(
            workload=workload.name,
            contract=Contract.of(workload),
            limits=workload.serving,
            long_answers=workload.long_answers,
            segments_dir=settings.segments_dir / workload.name,
            lake_uri=settings.lake_uri,
            inputs=tuple(workload.inputs),
            combine=workload.combine,
            **options,
        )
