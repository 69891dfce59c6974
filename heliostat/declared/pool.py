"""Sharing replicas with other small models, as a workload declares it."""

from dataclasses import dataclass

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The workload is answered by the pool: one application whose replicas hold the models of many workloads.

    A model is loaded when it is first asked; when more than `max_loaded_models` versions, or more than
    `max_loaded_mib` MiB of weights, are loaded in a replica, the workload that was not asked for longest is dropped
    from its memory. Of the limits that its workloads declare the pool keeps the largest.
    """

    max_loaded_models: int = 100
    max_loaded_mib: float = 1024.0

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.max_loaded_models >= 1 or not 0 < self.max_loaded_mib < float("inf"):
            raise WorkloadError(f"{self}: max_loaded_models must be at least 1 and max_loaded_mib above 0.")
