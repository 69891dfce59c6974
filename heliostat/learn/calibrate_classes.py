"""From logits of classes to probabilities that mean what they say: one temperature.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017. As for two classes, rows of a
block (a day) count for as much as they really say, and a prior leaves the logits nearly alone where that is little.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.learn.calibrate import LOWEST_SCALE, PRIOR_STRENGTH, block_weight

Values = NDArray[np.float64]
MAX_SCALE = 20.0
GOLDEN = (5**0.5 - 1) / 2
NUM_STEPS = 60  # each leaves 62% of the interval, so what is left is below a double's digits


@dataclass(frozen=True, kw_only=True)
class ClassesCalibration:
    """Probabilities are the softmax of the logits times `scale`, one over the temperature."""

    scale: float = 1.0

    @classmethod
    def fit(cls, logits: Values, labels: Values, *, blocks: NDArray[np.int64] | None = None) -> "ClassesCalibration":
        """The most likely scale under a prior that leaves logits alone; it keeps the order of the classes in a row."""
        if not len(labels):
            return cls()
        places = labels.astype(np.int64)
        own = logits[np.arange(len(places)), places]
        # How the likelihood changes with the scale is what blocks must agree on.
        slopes = own - (softmax(logits) * logits).sum(axis=1)
        weight = block_weight([slopes], blocks)

        def loss(scale: float) -> float:
            likelihood = log_sum_exp(scale * logits) - scale * own
            return float(weight * likelihood.sum() + PRIOR_STRENGTH / 2 * (scale - 1) ** 2)

        # The loss is convex in the scale, so the golden section cannot miss its lowest point.
        low, high = LOWEST_SCALE, MAX_SCALE
        for _ in range(NUM_STEPS):
            first, second = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
            low, high = (low, second) if loss(first) <= loss(second) else (first, high)
        return cls(scale=(low + high) / 2)

    def answers(self, outputs: Values) -> Values:
        """One probability a class, shape (num_rows, num_classes)."""
        return softmax(self.scale * outputs)

    def doubt(self) -> "ClassesCalibration":
        """What of it makes answers less sure."""
        return ClassesCalibration(scale=min(1.0, self.scale))

    def to_json(self) -> str:
        """The scale as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ClassesCalibration":
        """The calibration that `to_json` wrote."""
        return cls(**json.loads(text))


def softmax(logits: Values) -> Values:
    """Probabilities, each row's sum 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_sum_exp(logits: Values) -> Values:
    """The logarithm of each row's sum of exponentials."""
    highest = logits.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)))
