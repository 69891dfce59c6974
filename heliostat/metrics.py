"""How good probabilities are: each metric knows which way is better.

`labels` are int or float arrays of 0 and 1, shape (num_rows,); `probabilities` float arrays of the same shape.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
EPSILON = 1e-7  # float32 cannot hold a probability nearer to 1


@dataclass(frozen=True)
class Metric:
    """A named score of probabilities against labels."""

    name: str
    function: Callable[[Values, Values], float]
    higher_is_better: bool = False

    def __call__(self, labels: Values, probabilities: Values) -> float:
        """The score; NaN when there are no rows."""
        if len(labels) == 0:
            return float("nan")
        return self.function(np.asarray(labels, np.float64), np.asarray(probabilities, np.float64))

    def __str__(self) -> str:
        return self.name


def log_losses(labels: Values, probabilities: Values) -> Values:
    """The negative log likelihood of each row, in nats, shape (num_rows,)."""
    clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return np.asarray(-np.log(np.where(labels > 0.5, clipped, 1 - clipped)))


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


def _calibration_error(labels: Values, probabilities: Values) -> float:
    """Expected calibration error over 20 bins of equal size (Naeini et al., AAAI 2015, with equal-mass bins).

    Rows with the same probability share their labels, so that the order of the rows never matters.
    """
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


log_loss = Metric("log_loss", _log_loss)
auc = Metric("auc", _auc, higher_is_better=True)
brier = Metric("brier", _brier)
calibration_error = Metric("calibration_error", _calibration_error)

ALL = (log_loss, auc, brier, calibration_error)
METRIC_BY_NAME = {metric.name: metric for metric in ALL}
