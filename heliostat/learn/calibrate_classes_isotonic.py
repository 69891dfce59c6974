"""From logits of classes to probabilities that mean what they say, by a rising curve for each class.

Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002: each
class against the rest, then so that they add up to 1. Each curve is drawn towards its line, as for two values.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.learn.calibrate_classes import ClassesCalibration, log_sum_exp
from heliostat.learn.calibrate_isotonic import PRIOR_ROWS, IsotonicCalibration

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class IsotonicClassesCalibration:
    """The curve of each class runs over its logit against the rest; what the curves say is divided by its sum."""

    scale: float
    curves: tuple[IsotonicCalibration, ...]

    @classmethod
    def fit(
        cls, logits: Values, labels: Values, *, blocks: NDArray[np.int64] | None = None
    ) -> "IsotonicClassesCalibration":
        """A temperature, as most rows want it, then a curve for each class; no rows, no change."""
        scale = ClassesCalibration.fit(logits, labels, blocks=blocks).scale
        margins = against_rest(scale * logits)
        num_classes = logits.shape[1]
        # Of many classes each has few rows, and most rows say of it that it is unlikely: what they err by there adds
        # up over the classes. For two this is what two values have.
        prior_rows = PRIOR_ROWS * num_classes / 2
        curves = [
            IsotonicCalibration.fit(
                margins[:, place], (labels == place).astype(np.float64), blocks=blocks, prior_rows=prior_rows
            )
            for place in range(num_classes)
        ]
        return cls(scale=scale, curves=tuple(curves))

    def answers(self, outputs: Values) -> Values:
        """One probability a class, shape (num_rows, num_classes), strictly between 0 and 1, each row's sum 1."""
        margins = against_rest(self.scale * outputs)
        said = np.stack([curve.answers(margins[:, place]) for place, curve in enumerate(self.curves)], axis=1)
        return np.asarray(said / said.sum(axis=1, keepdims=True))

    def doubt(self) -> "IsotonicClassesCalibration":
        """All curves: who asks for them wants their bends."""
        return self

    def to_json(self) -> str:
        """The scale and the knots as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "IsotonicClassesCalibration":
        """The calibration that `to_json` wrote."""
        stored = json.loads(text)
        curves = [IsotonicCalibration.from_json(json.dumps(curve)) for curve in stored["curves"]]
        return cls(scale=stored["scale"], curves=tuple(curves))


def against_rest(logits: Values) -> Values:
    """The logit of each class against all others together, shape (num_rows, num_classes)."""
    num_classes = logits.shape[1]
    rests = [log_sum_exp(np.delete(logits, place, axis=1)) for place in range(num_classes)]
    return np.asarray(logits - np.stack(rests, axis=1))
