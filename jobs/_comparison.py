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
from sklearn.ensemble import HistGradientBoostingClassifier

from heliostat.columns import Category, Column, Text, Vector
from heliostat.learn.prepare import Preparation

MAX_CATEGORIES = 255  # what HistGradientBoosting can hold
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trees:
    """A HistGradientBoosting model on the workload's own columns, scikit-learn's defaults."""

    preparation: Preparation
    model: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, rows: pa.Table, columns: Sequence[Column], *, seed: int) -> "Trees":
        """Fitted on all `rows`, which have the declared columns and `label`."""
        preparation = Preparation.fit(rows, columns)
        is_category = category_mask(columns)
        model = HistGradientBoostingClassifier(categorical_features=is_category, random_state=seed)
        model.fit(_matrix(preparation, rows, columns), rows["label"].to_numpy())
        return cls(preparation=preparation, model=model)

    def probabilities(self, rows: pa.Table, columns: Sequence[Column]) -> Values:
        """The probability of label 1 for each row, shape (num_rows,)."""
        return np.asarray(self.model.predict_proba(_matrix(self.preparation, rows, columns))[:, 1])


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


def retrained_monthly(history: pa.Table, asked: pa.Table, columns: Sequence[Column], *, seed: int) -> Values:
    """Trees fitted anew at the start of every month on all that was known then, shape (asked rows,).

    `history` holds every labelled row (before and during the replay), `asked` the rows to answer, both with event_at.
    """
    months = [at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for at in asked["event_at"].to_pylist()]
    answers = np.empty(asked.num_rows)
    month_by_row = np.array([month.timestamp() for month in months])
    for month in np.unique(month_by_row):
        print(f"comparison: trees fitted for {datetime.fromtimestamp(month, UTC):%Y-%m}", flush=True)
        trees = Trees.fit(known_at(history, datetime.fromtimestamp(month, UTC)), columns, seed=seed)
        is_month = month_by_row == month
        answers[is_month] = trees.probabilities(asked.filter(pa.array(is_month)), columns)
    return answers
