"""What the monitor tells apart beyond the columns, as a workload declares it."""

from collections.abc import Sequence
from dataclasses import dataclass

from heliostat.errors import WorkloadError
from heliostat.triggers import JointDrift, SliceDrift, Trigger, singles
from heliostat.typed import refuse_wrong_types

MAX_TOGETHER = 16  # their pairs are 120, and each is counted in every window


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Columns by whose values quality is told apart.

    Of the groups of every such column: realised loss, calibration, and what the answers of a window expect of
    themselves before labels come.
    Between the groups of a `sensitive` column gaps are told too: of the rate of positive answers, true and false
    positives, and loss. A column's groups are the bins of its reference: eleven at most, whatever the traffic is.
    Of the columns of `together` it is watched how each two of them depend on each other: a change of that alone moves
    no single column. It is told to people, and with the trigger `JointDrift` it is a reason to retrain.
    Within the groups of the columns of `within` (the 16 largest that held 100 rows or more in training) it is watched
    how every other column and the answers move: told to people, and with `SliceDrift` a reason to retrain.
    """

    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    within: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if len(self.together) == 1 or len(self.together) > MAX_TOGETHER or len(set(self.together)) < len(self.together):
            raise WorkloadError(
                f"Watching(together=...) names {len(self.together)} columns; name 2 to {MAX_TOGETHER} different ones."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns by whose groups quality is told apart, each once."""
        return tuple(dict.fromkeys([*self.sensitive, *self.slices]))


def refuse_unknown(workload: str, watching: Watching, *, columns: Sequence[str]) -> None:
    """WorkloadError when a column is watched that the workload does not have."""
    unknown = sorted({*watching.columns, *watching.together, *watching.within} - set(columns))
    if unknown:
        raise WorkloadError(
            f"Workload {workload!r} watches {', '.join(unknown)}, but its columns are {', '.join(columns)}; "
            "name columns of the contract in Watching."
        )


def refuse_untold(workload: str, watching: Watching, *, triggers: Sequence[Trigger]) -> None:
    """WorkloadError when a trigger waits for what is not watched."""
    waits = {type(one) for one in singles(triggers)}
    if JointDrift in waits and not watching.together:
        raise WorkloadError(
            f"Workload {workload!r} retrains on JointDrift and watches no columns together; name them in "
            "watching=Watching(together=...)."
        )
    if SliceDrift in waits and not watching.within:
        raise WorkloadError(
            f"Workload {workload!r} retrains on SliceDrift and watches no slices; name the columns that make them in "
            "watching=Watching(within=...)."
        )
