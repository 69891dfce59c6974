"""scikit-learn's boosted trees for each kind of label, answering as the kind's task does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from heliostat.tasks import Task

Values = NDArray[np.float64]


class FittedTrees(Protocol):
    """Trees of one kind of label."""

    def answers(self, matrix: Values) -> Values:
        """The answer to each row of the matrix, in the shape of the task."""


def fit_trees(task: Task, matrix: Values, labels: Values, **options: Any) -> FittedTrees:
    """Trees with scikit-learn's defaults beside `options`."""
    return FIT_BY_KIND[task.kind](task, matrix, labels, options)


@dataclass(frozen=True)
class _Binary:
    trees: HistGradientBoostingClassifier

    def answers(self, matrix: Values) -> Values:
        return np.asarray(self.trees.predict_proba(matrix)[:, 1], np.float64) if len(matrix) else np.empty(0)


@dataclass(frozen=True)
class _Classes:
    trees: HistGradientBoostingClassifier
    num_classes: int

    def answers(self, matrix: Values) -> Values:
        found = np.zeros((len(matrix), self.num_classes))
        if len(matrix):  # a class that was not among the rows is never answered
            found[:, self.trees.classes_.astype(np.int64)] = self.trees.predict_proba(matrix)
        return found


@dataclass(frozen=True)
class _Quantity:
    trees: HistGradientBoostingRegressor
    beyond: Values
    """What is added to a value for the low and the high end of its interval, and the error to expect."""

    def answers(self, matrix: Values) -> Values:
        values = np.asarray(self.trees.predict(matrix), np.float64) if len(matrix) else np.empty(0)
        low, high, deviation = self.beyond
        return np.stack([values, values + low, values + high, np.full(len(values), deviation)], axis=1)


def _fit_binary(_: Task, matrix: Values, labels: Values, options: dict[str, Any]) -> FittedTrees:
    return _Binary(HistGradientBoostingClassifier(**options).fit(matrix, labels))


def _fit_classes(task: Task, matrix: Values, labels: Values, options: dict[str, Any]) -> FittedTrees:
    return _Classes(HistGradientBoostingClassifier(**options).fit(matrix, labels), task.shape[0])


def _fit_quantity(task: Task, matrix: Values, labels: Values, options: dict[str, Any]) -> FittedTrees:
    trees = HistGradientBoostingRegressor(**options).fit(matrix, labels)
    # Of rows that were learned from, so too small: the loop judges by what the hold-out shows, and adds what it missed.
    _, *beyond = task.constant(labels - trees.predict(matrix))
    return _Quantity(trees, np.array(beyond))


FIT_BY_KIND: dict[str, Callable[[Task, Values, Values, dict[str, Any]], FittedTrees]] = {
    "binary": _fit_binary,
    "classes": _fit_classes,
    "quantity": _fit_quantity,
}
