"""What the monitor tells apart beyond the columns, as a workload declares it."""

from collections.abc import Sequence
from dataclasses import dataclass

from heliostat.errors import WorkloadError


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Columns by whose values quality is told apart.

    Between the groups of a `sensitive` column gaps are told too: of the rate of positive answers, true and false
    positives, and loss. A column's groups are the bins of its reference: eleven at most, whatever the traffic is.
    """

    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns whose groups are counted, each once."""
        return tuple(dict.fromkeys([*self.sensitive, *self.slices]))


def refuse_unknown(workload: str, watching: Watching, *, columns: Sequence[str]) -> None:
    """WorkloadError when a column is watched that the workload does not have."""
    unknown = sorted(set(watching.columns) - set(columns))
    if unknown:
        raise WorkloadError(
            f"Workload {workload!r} watches {', '.join(unknown)}, but its columns are {', '.join(columns)}; "
            "name columns of the contract in Watching."
        )
