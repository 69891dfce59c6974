"""How good answers are: each metric knows which way is better.

`labels` is an array of shape (num_rows,): 0 and 1, the places of classes, or quantities. `answers` are probabilities of
1 of the same shape, probabilities of every class of shape (num_rows, num_classes), or quantities: of the same shape, or
the first of several numbers a row, as `heliostat.tasks` gives them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.typed import refuse_wrong_types

Values = NDArray[np.float64]
EPSILON = 1e-7  # float32 cannot hold a probability nearer to 1


@dataclass(frozen=True)
class Metric:
    """A named score of answers against labels; the mean of `losses`, those of single rows, where it has them."""

    name: str
    function: Callable[[Values, Values], float]
    higher_is_better: bool = False
    losses: Callable[[Values, Values], Values] | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)

    def __call__(self, labels: Values, answers: Values) -> float:
        """The score; NaN when there are no rows."""
        if len(labels) == 0:
            return float("nan")
        return self.function(np.asarray(labels, np.float64), np.asarray(answers, np.float64))

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ")


def log_losses(labels: Values, probabilities: Values) -> Values:
    """The negative log likelihood of each row, in nats, shape (num_rows,)."""
    clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
    if clipped.ndim == 2:
        return np.asarray(-np.log(clipped[np.arange(len(labels)), np.asarray(labels, np.int64)]))
    return np.asarray(-np.log(np.where(labels > 0.5, clipped, 1 - clipped)))


def squared_errors(labels: Values, answers: Values) -> Values:
    """The squared error of each row, in the label's unit squared, shape (num_rows,)."""
    return np.asarray((quantities(answers) - labels) ** 2)


def quantities(answers: Values) -> Values:
    """The quantity that each row answers, shape (num_rows,)."""
    return answers if answers.ndim == 1 else answers[:, 0]


def chosen(answers: Values) -> NDArray[np.int64]:
    """The likeliest label of each row, 0 or 1, or the place of a class; shape (num_rows,)."""
    if answers.ndim == 1:
        return np.asarray(answers > 0.5, np.int64)
    return np.asarray(answers.argmax(axis=1), np.int64)


def _log_loss(labels: Values, probabilities: Values) -> float:
    return float(log_losses(labels, probabilities).mean())


def _auc(labels: Values, probabilities: Values) -> float:
    """Area under the ROC curve by the Mann-Whitney statistic, ties counted half; NaN with one class only."""
    num_positive = float(labels.sum())
    num_negative = len(labels) - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    mean_rank = last_rank - (counts - 1) / 2
    rank_sum = mean_rank[inverse][labels > 0.5].sum()
    return float((rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def _brier(labels: Values, probabilities: Values) -> float:
    return float(np.mean((probabilities - labels) ** 2))


def _accuracy(labels: Values, answers: Values) -> float:
    return float(np.mean(chosen(answers) == labels))


def _macro_f1(labels: Values, answers: Values) -> float:
    """The mean over classes, asked or answered, of the harmonic mean of precision and recall."""
    own = chosen(answers)
    scores = []
    for each in np.union1d(labels, own):
        num_hits = int(((own == each) & (labels == each)).sum())
        scores.append(2 * num_hits / int((own == each).sum() + (labels == each).sum()))
    return float(np.mean(scores))


def _mse(labels: Values, answers: Values) -> float:
    return float(squared_errors(labels, answers).mean())


def _rmse(labels: Values, answers: Values) -> float:
    return math.sqrt(_mse(labels, answers))


def _mae(labels: Values, answers: Values) -> float:
    return float(np.abs(quantities(answers) - labels).mean())


def _r2(labels: Values, answers: Values) -> float:
    """The share of the labels' variance that is explained; NaN where all labels are the same."""
    variance = float(labels.var())
    return 1 - _mse(labels, answers) / variance if variance > 0 else float("nan")


def _calibration_error(labels: Values, probabilities: Values) -> float:
    """Expected calibration error over 20 bins of equal size (Naeini et al., AAAI 2015, with equal-mass bins).

    Rows with the same probability share their labels, so that the order of the rows never matters. Of many classes
    the likeliest counts: how often it is right against how likely it was said to be.
    """
    if probabilities.ndim == 2:
        labels, probabilities = np.asarray(chosen(probabilities) == labels, np.float64), probabilities.max(axis=1)
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    shared = (np.bincount(inverse, weights=labels) / counts)[inverse]
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        abs(float(shared[part].sum() - probabilities[part].sum()))
        for part in np.array_split(order, min(20, len(order)))
    ]
    return sum(gaps) / len(labels)


def stored(score_by_metric: Mapping[str, float]) -> dict[str, float | None]:
    """The scores as JSON can hold them: None for one that is not finite, such as the AUC of one class."""
    return {name: score if math.isfinite(score) else None for name, score in score_by_metric.items()}


log_loss = Metric("log_loss", _log_loss, losses=log_losses)
auc = Metric("auc", _auc, higher_is_better=True)
brier = Metric("brier", _brier)
calibration_error = Metric("calibration_error", _calibration_error)
accuracy = Metric("accuracy", _accuracy, higher_is_better=True)
macro_f1 = Metric("macro_f1", _macro_f1, higher_is_better=True)
mse = Metric("mse", _mse, losses=squared_errors)
rmse = Metric("rmse", _rmse)
mae = Metric("mae", _mae)
r2 = Metric("r2", _r2, higher_is_better=True)

ALL = (log_loss, auc, brier, calibration_error)
OF_CLASSES = (log_loss, accuracy, macro_f1, calibration_error)
OF_QUANTITIES = (mse, rmse, mae, r2)
METRIC_BY_NAME = {metric.name: metric for metric in (*ALL, *OF_CLASSES, *OF_QUANTITIES)}
