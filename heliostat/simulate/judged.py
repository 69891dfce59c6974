"""What a turn is made of: the champion, the hold-out, each candidate as it did there, and what came of it."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.gates import Hold, Promote
from heliostat.govern.candidates import Archived
from heliostat.simulate.learner import Model
from heliostat.watch.events import ReferenceScore

Values = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Champion:
    """A model that answers: fitted on labelled rows before `until_row`, and what its twin scored on later ones."""

    number: int
    model: Model
    name: str
    until_row: int
    num_rows: int
    reference: ReferenceScore | None = None
    score_reference: ReferenceScore | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The hold-out of a turn and the champion's answers to it."""

    labels: Values
    table: pa.Table
    champion: int
    answers: Values

    def slice(self, since: int, until: int) -> "Trial":
        """Some of its rows, in order."""
        table = self.table.slice(since, until - since)
        return replace(self, labels=self.labels[since:until], table=table, answers=self.answers[since:until])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One candidate: fitted on `rows` without the hold-out (or archived: `of`), its answers there, and the verdict.

    `constant_loss` is what the best constant answer costs there.
    """

    name: str
    rows: Index
    model: Model
    answers: Values
    loss: float
    constant_loss: float
    verdict: Promote | Hold
    sure_gain: float
    gain: float
    of: Champion | None

    @property
    def archived(self) -> Archived:
        """An earlier champion as the rule sees it that says whether one returns; it has a reference."""
        assert self.of is not None
        assert self.of.reference is not None
        return Archived(
            loss=self.loss,
            constant_loss=self.constant_loss,
            sure_gain=self.sure_gain,
            is_passed=isinstance(self.verdict, Promote),
            reference=self.of.reference.score,
            error=self.of.reference.standard_error,
        )


@dataclass(frozen=True, kw_only=True)
class TurnResult:
    """The verdict of a turn, its new champion if there is one, what that gains a row, surely and on average, and what
    the turn cost.
    """

    verdict: Promote | Hold
    champion: Champion | None
    num_fits: int
    num_labels: int
    sure_gain: float = 0.0
    gain: float = 0.0
    is_returned: bool = False
