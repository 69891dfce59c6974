"""What answers expect of themselves: sums over a window's rows, or over those of a group.

As `estimates` it assumes that calibration holds and that the concept has not changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.tasks import Task

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ExpectedTally:
    """Sums of the loss that answers expect and of how sure they are, over so many rows; exact up to rounding."""

    num_rows: int = 0
    loss_sum: float = 0.0
    sureness_sum: float | None = None

    @classmethod
    def of(cls, task: Task, answers: Values) -> "ExpectedTally":
        """The tally of answers; those that say nothing of what they expect are left out."""
        is_finite = np.isfinite(answers)
        known = answers[is_finite if answers.ndim == 1 else is_finite.all(axis=1)]
        found, sureness = task.expected(known), task.sureness(known)
        return cls(
            num_rows=len(known),
            loss_sum=0.0 if found is None else found.loss * len(known),
            sureness_sum=None if sureness is None else float(sureness.sum()),
        )

    def __add__(self, other: "ExpectedTally") -> "ExpectedTally":
        """The tally of both sets of answers."""
        sums = [one.sureness_sum for one in (self, other) if one.sureness_sum is not None]
        return ExpectedTally(
            num_rows=self.num_rows + other.num_rows,
            loss_sum=self.loss_sum + other.loss_sum,
            sureness_sum=sum(sums) if sums else None,
        )

    def scores(self, task: Task) -> dict[str, float]:
        """The scores that the answers expect of themselves, by metric; none for no answers.

        Of classes, and of two values, also the share of right ones, which is how sure the answers are on average.
        """
        if not self.num_rows:
            return {}
        sure = {} if self.sureness_sum is None else {task.score.name: self.sureness_sum / self.num_rows}
        return {task.loss.name: self.loss_sum / self.num_rows, **sure}

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {"num_rows": self.num_rows, "loss_sum": self.loss_sum, "sureness_sum": self.sureness_sum}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ExpectedTally":
        """The tally that `to_json` wrote."""
        return cls(**value)
