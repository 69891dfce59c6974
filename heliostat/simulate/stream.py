"""A table as a stream: rows in order, cut into steps, with what is known and what is due at the end of each step.

The clock counts steps, and a step stands for a day of the live loop. At the end of step s the first `rows_at(s)`
rows have been answered. A row is learned from and judged by once it is due and its label is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column
from heliostat.errors import ContractError
from heliostat.simulate.delays import differ_by_delay, due_and_known
from heliostat.tasks import BINARY, Task

Values = NDArray[np.float64]
Index = NDArray[np.int64]
DAY = timedelta(days=1)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # any fixed instant: only distances count
MAX_STEPS = 200
MIN_STEP_ROWS = 50
MIN_ROWS = 500
MIN_LABELLED = 100  # fewer fit nothing
MAX_FIRST_SHARE = 0.6  # a first part that is longer leaves too little to compare on


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Rows in order; `labels` holds those of `task`, NaN for never known.

    `known_step` is when each label is known, `due_step` when each row is due; `due_rows` counts those by each step. The
    first step has `lead_rows` rows, every other `step_rows`, the last what is left. `is_due_known` says for
    each step whether it is known then how long labels take; None: always.
    """

    inputs: pa.Table
    columns: tuple[Column, ...]
    labels: Values
    known_step: Index
    due_step: Index
    due_rows: Index
    first_step: int
    step_rows: int
    task: Task = BINARY
    lead_rows: int | None = None  # as many as any step where it is None
    is_due_known: NDArray[np.bool_] | None = None

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    @property
    def num_steps(self) -> int:
        """How many steps the whole stream takes."""
        return max(1, 1 - (self._lead - self.num_rows) // self.step_rows)

    @property
    def _lead(self) -> int:
        return self.step_rows if self.lead_rows is None else self.lead_rows

    @property
    def first_rows(self) -> int:
        """The rows of the first part: what every policy starts from."""
        return self.rows_at(self.first_step)

    def rows_at(self, step: int) -> int:
        """How many rows have been answered at the end of a step."""
        return 0 if step <= 0 else min(self._lead + (step - 1) * self.step_rows, self.num_rows)

    def usable(self, step: int) -> Index:
        """The rows that may be learned from and judged by at the end of a step, in order."""
        is_usable = (self.due_step <= step) & (self.known_step <= step) & np.isfinite(self.labels)
        return np.flatnonzero(is_usable)

    def is_one_sided(self, step: int) -> bool:
        """Whether the labels known at the end of a step surely are others than those still to come.

        So it is while nobody knows yet how long labels take, and those that came late differ from those that came soon.
        """
        if self.is_due_known is None or self.is_due_known[step]:
            return False
        rows = self.usable(step)
        return differ_by_delay(self._one_number(self.labels[rows]), self.known_step[rows] - self.steps_of(rows))

    def _one_number(self, labels: Values) -> Values:
        """A label as one number whose mean tells kinds of rows apart: of classes whether it is the most frequent."""
        if self.task.kind != "classes":
            return labels
        frequent = np.bincount(labels.astype(np.int64), minlength=1).argmax()
        return np.asarray(labels == frequent, np.float64)

    def falls_due(self, step: int) -> Index:
        """The rows that fall due in a step, in order."""
        return np.flatnonzero(self.due_step == step)

    def labels_known(self, rows: Index, *, step: int) -> Values:
        """The labels of some rows as known at the end of a step; NaN where not."""
        return np.where(self.known_step[rows] <= step, self.labels[rows], np.nan)

    def slice(self, since: int, until: int) -> pa.Table:
        """The inputs of a span of rows."""
        return self.inputs.slice(since, until - since)

    def take(self, rows: Index) -> pa.Table:
        """The inputs of some rows."""
        return self.inputs.take(pa.array(rows))

    def steps_of(self, rows: Index) -> Index:
        """The step in which each row is answered, counted from 1."""
        return np.maximum(np.asarray((rows - self._lead) // self.step_rows + 2, np.int64), 1)


def instant(step: int) -> datetime:
    """The end of a step on the clock that the state machines are given: one day a step."""
    return EPOCH + step * DAY


def step_of(at: datetime) -> int:
    """The step that had ended at an instant."""
    return (at - EPOCH) // DAY


def stream(
    inputs: pa.Table,
    columns: Sequence[Column],
    labels: Values,
    *,
    first: float,
    event_at: Values | None = None,
    label_at: Values | None = None,
    due_at: Values | None = None,
    task: Task = BINARY,
) -> Stream:
    """The stream of rows that are in order; times are numbers of one unit, NaN: never known, never due.

    With `due_at` alone a label is known when it is due; with `label_at` alone it is estimated when rows are due.

    The first part ends where `first` says, or later, when enough labels are known and due to learn from.
    ContractError when there are too few rows, or too few with a label in the first part.
    """
    num_rows = len(labels)
    if num_rows < MIN_ROWS:
        raise ContractError(f"{num_rows:,} rows are too few to tell policies apart; give at least {MIN_ROWS}.")
    step_rows = max(MIN_STEP_ROWS, -(-num_rows // MAX_STEPS))
    num_steps = -(-num_rows // step_rows)
    ends = np.minimum(np.arange(num_steps + 1) * step_rows, num_rows)
    own_step = np.arange(num_rows) // step_rows + 1
    known_step = due_step = own_step
    is_due_known = None
    if event_at is not None:
        reached_at = event_at[np.maximum(ends[1:], 1) - 1]
        if label_at is not None:
            known_step = np.maximum(own_step, _reached(reached_at, label_at))
            num_due, is_due_known = due_and_known(event_at, label_at, ends)
            due_step = np.searchsorted(num_due, np.arange(1, num_rows + 1), side="left")
        if due_at is not None:
            due_step, is_due_known = np.maximum(own_step, _reached(reached_at, due_at)), None
            known_step = known_step if label_at is not None else due_step
    made = Stream(
        inputs=inputs,
        columns=tuple(columns),
        labels=labels,
        known_step=known_step.astype(np.int64),
        due_step=due_step.astype(np.int64),
        due_rows=np.searchsorted(np.sort(due_step), np.arange(num_steps + 1), side="right").astype(np.int64),
        first_step=min(max(1, round(first * num_rows / step_rows)), num_steps - 1),
        step_rows=step_rows,
        task=task,
        is_due_known=is_due_known,
    )
    made = replace(made, first_step=_first_step(made))
    num_scored = int(np.isfinite(labels[made.first_rows :]).sum())
    if num_scored < MIN_LABELLED:
        raise ContractError(
            f"{num_scored} rows after the first part have a label; at least {MIN_LABELLED} are needed to score "
            "anything. Give more labels or a smaller --first."
        )
    return made


def _reached(reached_at: Values, at: Values) -> Index:
    """The step at whose end each instant has come; one after the last where it never does."""
    return np.searchsorted(reached_at, np.where(np.isnan(at), np.inf, at), side="left") + 1


def _first_step(made: Stream) -> int:
    """The first step, not before the wanted one, at whose end there is enough to learn from."""
    last = max(made.first_step, int(MAX_FIRST_SHARE * made.num_steps))
    for step in range(made.first_step, last + 1):
        if _can_start(made, step):
            return step
    usable, asked = made.usable(last), slice(0, made.rows_at(last))
    is_late = (made.known_step[asked] > last) & np.isfinite(made.labels[asked])
    late = f" The labels of {is_late.sum():,} of these rows are known later or never." if is_late.any() else ""
    raise ContractError(
        f"At the end of the first {made.rows_at(last):,} rows {len(usable):,} are due with a known label, of "
        f"{len(np.unique(made.labels[usable]))} kinds; at least {MIN_LABELLED} that are not all alike are needed."
        f"{late} Give more rows or labels."
    )


def _can_start(made: Stream, step: int) -> bool:
    usable = made.usable(step)
    return len(usable) >= MIN_LABELLED and made.task.can_learn(made.labels[usable])
