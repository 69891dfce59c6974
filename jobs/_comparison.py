"""The same rows answered by other policies: what the loop is compared with.

Every policy sees only what was known at the time: rows whose label was known and due before it was fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Text, Vector
from heliostat.learn.prepare import Preparation
from heliostat.tasks import BINARY, Task
from jobs._simulation_trees import FittedTrees, fit_trees

MAX_CATEGORIES = 255  # what HistGradientBoosting can hold
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trees:
    """A HistGradientBoosting model on the workload's own columns, scikit-learn's defaults."""

    preparation: Preparation
    fitted: FittedTrees

    @classmethod
    def fit(cls, rows: pa.Table, columns: Sequence[Column], *, seed: int, task: Task = BINARY) -> "Trees":
        """Fitted on all `rows`, which have the declared columns and `label`."""
        preparation = Preparation.fit(rows, columns)
        matrix, labels = _matrix(preparation, rows, columns), rows["label"].to_numpy()
        options = {"categorical_features": category_mask(columns), "random_state": seed}
        return cls(preparation=preparation, fitted=fit_trees(task, matrix, labels, **options))

    def answers(self, rows: pa.Table, columns: Sequence[Column]) -> Values:
        """The answer to each row, as the task has them."""
        return self.fitted.answers(_matrix(self.preparation, rows, columns))


def category_mask(columns: Sequence[Column]) -> list[bool]:
    """Which columns of the matrix are codes; a vector has one column for each of its numbers, a text none."""
    widths = [column.length if isinstance(column, Vector) else 1 for column in columns]
    shown = zip(columns, widths, strict=True)
    return [
        isinstance(column, Category) for column, width in shown if not isinstance(column, Text) for _ in range(width)
    ]


def _matrix(preparation: Preparation, rows: pa.Table, columns: Sequence[Column]) -> Values:
    batch = preparation.prepare(rows.select([column.name for column in columns]))
    arrays = [
        np.minimum(batch[column.name], MAX_CATEGORIES - 1) if isinstance(column, Category) else batch[column.name]
        for column in columns
        if not isinstance(column, Text)
    ]
    return np.column_stack([array.astype(np.float64) for array in arrays])


def known_at(rows: pa.Table, at: datetime) -> pa.Table:
    """The rows whose label was known, and due, before `at`."""
    moment = pa.scalar(at, pa.timestamp("us", tz="UTC"))
    known = pc.and_(pc.less(rows["label_known_at"], moment), pc.less(rows["due_at"], moment))
    return rows.filter(pc.fill_null(known, False))


def retrained_monthly(
    history: pa.Table, asked: pa.Table, columns: Sequence[Column], *, seed: int, task: Task = BINARY
) -> Values:
    """The answers of trees fitted anew at the start of every month on all that was known then.

    `history` holds every labelled row (before and during the replay), `asked` the rows to answer, both with event_at.
    """
    months = [at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for at in asked["event_at"].to_pylist()]
    answers = np.empty((asked.num_rows, *task.shape))
    month_by_row = np.array([month.timestamp() for month in months])
    for month in np.unique(month_by_row):
        print(f"comparison: trees fitted for {datetime.fromtimestamp(month, UTC):%Y-%m}", flush=True)
        trees = Trees.fit(known_at(history, datetime.fromtimestamp(month, UTC)), columns, seed=seed, task=task)
        is_month = month_by_row == month
        answers[is_month] = trees.answers(asked.filter(pa.array(is_month)), columns)
    return answers
