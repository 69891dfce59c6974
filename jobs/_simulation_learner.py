"""Boosted trees as the learner of a simulation: scikit-learn's defaults on prepared columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column, Text
from heliostat.learn.prepare import UNKNOWN_CODE, Preparation, Prepared
from heliostat.tasks import BINARY, Task
from jobs._comparison import category_mask
from jobs._simulation_trees import NUM_ROUNDS, FittedTrees, finish_trees, fit_trees, num_rounds

MAX_CODES = 255  # what HistGradientBoosting can hold
BEGUN_SHARE = 0.3  # of a whole fit's rounds: enough to tell candidates apart
Values = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TreesModel:
    """Fitted trees with what they learned about single columns."""

    columns: Sequence[Column]
    preparation: Preparation
    code_by_code: Mapping[str, Codes]
    is_empty: NDArray[np.bool_]
    fitted: FittedTrees

    def answers(self, rows: pa.Table) -> Values:
        """The answer to each row, in the shape of the task."""
        matrix = _matrix(self.columns, self.preparation.prepare(rows), self.code_by_code)
        return self.fitted.answers(np.where(self.is_empty, 0.0, matrix))


@dataclass(frozen=True, kw_only=True)
class BegunTrees:
    """Some trees, and the rows from which the others grow."""

    model: TreesModel
    task: Task
    matrix: Values
    labels: Values

    def answers(self, rows: pa.Table) -> Values:
        """What the trees so far answer."""
        return self.model.answers(rows)

    def finished(self) -> TreesModel:
        """The trees so far, which are not boosted again, and all others."""
        return replace(self.model, fitted=finish_trees(self.task, self.model.fitted, self.matrix, self.labels))


class Trees:
    """Fits boosted trees; the same rows give the same model."""

    def __init__(self, columns: Sequence[Column], *, task: Task = BINARY, seed: int = 0) -> None:
        self._columns, self._task, self._seed = tuple(columns), task, seed

    def fit(self, rows: pa.Table, labels: Values) -> TreesModel:
        """A model of rows of inputs with labels that are not all the same."""
        return self._begun(rows, labels, max_iter=num_rounds(self._task)).model

    def begin(self, rows: pa.Table, labels: Values) -> BegunTrees:
        """The first trees of that model."""
        return self._begun(rows, labels, warm_start=True, max_iter=round(BEGUN_SHARE * num_rounds(self._task)))

    def _begun(self, rows: pa.Table, labels: Values, **options: Any) -> BegunTrees:
        preparation = Preparation.fit(rows, self._columns)
        prepared = preparation.prepare(rows)
        sizes = preparation.sizes
        codes = {name: _frequent(prepared[name], size) for name, size in sizes.items() if size > MAX_CODES}
        is_category = category_mask(self._columns)
        matrix = _matrix(self._columns, prepared, codes)
        is_empty = np.asarray(np.isnan(matrix).all(axis=0))  # scikit-learn cannot bin a column without any value
        options |= {"categorical_features": is_category if any(is_category) else None, "random_state": self._seed}
        matrix = np.where(is_empty, 0.0, matrix)
        fitted = fit_trees(self._task, matrix, labels, **options)
        model = TreesModel(
            columns=self._columns, preparation=preparation, code_by_code=codes, is_empty=is_empty, fitted=fitted
        )
        return BegunTrees(model=model, task=self._task, matrix=matrix, labels=labels)


def remarks_on(task: Task) -> list[str]:
    """What differs from scikit-learn's defaults on labels of that kind, in a sentence."""
    if num_rounds(task) == NUM_ROUNDS:
        return []
    return [
        f"Of {task.shape[0]} classes every round takes a tree each: {num_rounds(task)} rounds were fitted, not 100."
    ]


def _frequent(codes: NDArray[np.generic], size: int) -> Codes:
    """For each code the one to use: the most frequent keep one of their own, the rest count as unknown."""
    counts = np.bincount(codes.astype(np.int64), minlength=size)
    kept = np.argsort(-counts, kind="stable")[: MAX_CODES - 1]
    used = np.full(size, UNKNOWN_CODE, np.int64)
    kept = np.sort(kept[kept != UNKNOWN_CODE])
    used[kept] = np.arange(1, len(kept) + 1)
    return used


def _matrix(columns: Sequence[Column], prepared: Prepared, code_by_code: Mapping[str, Codes]) -> Values:
    arrays = [
        code_by_code[column.name][prepared[column.name].astype(np.int64)]
        if column.name in code_by_code
        else prepared[column.name]
        for column in columns
        if not isinstance(column, Text)
    ]
    return np.column_stack([array.astype(np.float64) for array in arrays])
