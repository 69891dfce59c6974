"""What a turn needs of a policy to judge its candidates; which one it is, the caller decides."""

from collections.abc import Sequence
from typing import Protocol

from heliostat.gates import Gate


class Judging(Protocol):
    """How large hold-outs and recent windows are, and what a candidate must pass."""

    @property
    def min_holdout_rows(self) -> int:
        """With fewer nobody is judged."""

    @property
    def max_holdout_rows(self) -> int:
        """More only keep rows from teaching."""

    @property
    def holdout_split(self) -> float | None:
        """The share of a hold-out that chooses among several candidates; None: all rows choose and judge."""

    @property
    def window_rows(self) -> int:
        """What recent means: as many rows as were enough for the first model."""

    @property
    def gates(self) -> Sequence[Gate]:
        """What must hold."""
