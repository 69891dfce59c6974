"""scikit-learn's boosted trees for each kind of label, answering as the kind's task does."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from heliostat.tasks import Task

Values = NDArray[np.float64]
NUM_ROUNDS, MIN_ROUNDS = 100, 20  # the most are scikit-learn's default
MAX_TREES = (
    1_000  # of more than two classes each takes a tree a round, and a tree of few rows costs what one of many does
)


class FittedTrees(Protocol):
    """Trees of one kind of label."""

    @property
    def trees(self) -> Any:
        """scikit-learn's."""

    def answers(self, matrix: Values) -> Values:
        """The answer to each row of the matrix, in the shape of the task."""


def one_thread() -> AbstractContextManager[object]:
    """While it is open, this process grows trees on one core.

    Its threads meet at every node of every tree and spin until all are there: on small tables, or beside other work,
    they cost more than they gain, and what they spin counts as CPU-seconds.
    """
    limited: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="openmp")
    return limited


def num_rounds(task: Task) -> int:
    """How often a whole fit adds trees: scikit-learn's 100 times up to ten classes, fewer times for more."""
    if task.kind != "classes":
        return NUM_ROUNDS
    return min(NUM_ROUNDS, max(MIN_ROUNDS, MAX_TREES // task.shape[0]))


def fit_trees(task: Task, matrix: Values, labels: Values, **options: Any) -> FittedTrees:
    """Trees with scikit-learn's defaults beside `options`."""
    kind = HistGradientBoostingRegressor if task.kind == "quantity" else HistGradientBoostingClassifier
    return MADE_BY_KIND[task.kind](task, matrix, labels, kind(**options))


def finish_trees(task: Task, begun: FittedTrees, matrix: Values, labels: Values) -> FittedTrees:
    """The trees of `begun`, fitted with `warm_start` to the same rows, and what is left of a whole fit's."""
    return MADE_BY_KIND[task.kind](task, matrix, labels, begun.trees.set_params(max_iter=num_rounds(task)))


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


def _binary(_: Task, matrix: Values, labels: Values, trees: Any) -> FittedTrees:
    return _Binary(trees.fit(matrix, labels))


def _classes(task: Task, matrix: Values, labels: Values, trees: Any) -> FittedTrees:
    return _Classes(trees.fit(matrix, labels), task.shape[0])


def _quantity(task: Task, matrix: Values, labels: Values, trees: Any) -> FittedTrees:
    trees = trees.fit(matrix, labels)
    # Of rows that were learned from, so too small: the loop judges by what the hold-out shows, and adds what it missed.
    _, *beyond = task.constant(labels - trees.predict(matrix))
    return _Quantity(trees, np.array(beyond))


MADE_BY_KIND: dict[str, Callable[[Task, Values, Values, Any], FittedTrees]] = {
    "binary": _binary,
    "classes": _classes,
    "quantity": _quantity,
}
