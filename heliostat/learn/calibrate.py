"""From logits to probabilities that mean what they say: Platt scaling on rows that no weight was fitted to.

J. Platt, "Probabilistic outputs for support vector machines", 1999; the scale is one over a temperature. The newest
rows of a stream lie in a few days, and the rows of a day err together: on flights, lines fitted as if all rows were
independent made the months that followed worse (log loss 0.507 instead of 0.500). So the rows of a block count for as
much as they really say, and a prior leaves the logits nearly alone where that is little.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LOWEST_SCALE = 0.05  # a scale of zero or less would turn or forget the order of the rows
MAX_STEPS = 50
TOLERANCE = 1e-10
# One over the variance of a normal prior around "leave the logits alone", for scale and bias: what thousands of
# independent rows outweigh, and what keeps the answer finite when all rows are of one class or perfectly told apart.
PRIOR_STRENGTH = 100.0
LARGEST_MARGIN = 30.0  # no answer is more certain, so that no loss is without bound


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A straight line through logits: probability = sigmoid(scale * logit + bias).

    `pivot` is the mean logit that the line was fitted about: where a change of scale alone changes nothing.
    """

    scale: float = 1.0
    bias: float = 0.0
    pivot: float = 0.0

    @classmethod
    def fit(cls, logits: Values, labels: Values, *, blocks: NDArray[np.int64] | None = None) -> "Calibration":
        """The most likely line under a prior that leaves logits alone; it keeps the order of the rows.

        `blocks` numbers the block (the day) of each row; without it all rows count as independent. No rows, no change.
        """
        # About the mean logit, so that a change of scale alone does not move the mean.
        centre = float(logits.mean()) if len(logits) else 0.0
        evidence = _Evidence(logits - centre, labels, centre=centre, weight=row_weight(logits, labels, blocks))
        line = np.array([1.0, 0.0])
        loss = evidence.loss(line)
        for _ in range(MAX_STEPS):
            line, next_loss = evidence.shorten(line, evidence.newton_step(line), loss=loss)
            if loss - next_loss <= TOLERANCE * max(1.0, loss):
                break
            loss = next_loss
        return cls(scale=float(line[0]), bias=float(line[1] + centre * (1 - line[0])), pivot=centre)

    def answers(self, outputs: Values) -> Values:
        """One probability a row, strictly between 0 and 1."""
        return sigmoid(self.scale * outputs + self.bias)

    def doubt(self) -> "Calibration":
        """What of it makes answers less sure, about the pivot, and nothing that shifts or sharpens them."""
        scale = min(1.0, self.scale)
        return Calibration(scale=scale, bias=self.pivot * (1 - scale), pivot=self.pivot)

    def to_json(self) -> str:
        """Scale, bias and pivot as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """The calibration that `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class _Evidence:
    """Rows that a line is fitted to, their logits less `centre`; each counts `weight`."""

    logits: Values
    labels: Values
    centre: float
    weight: float

    def loss(self, line: Values) -> float:
        """Weighted negative log likelihood and prior, summed over the rows."""
        margins = self._margins(line)
        likelihood = np.logaddexp(0, margins) - self.labels * margins
        prior = PRIOR_STRENGTH / 2 * ((line[0] - 1) ** 2 + line[1] ** 2)
        return float(self.weight * likelihood.sum() + prior)

    def newton_step(self, line: Values) -> Values:
        """Where a parabola through the loss has its lowest point, seen from `line`."""
        probabilities = sigmoid(self._margins(line))
        inputs = np.stack([self.logits, np.ones_like(self.logits)])
        gradient = self.weight * inputs @ (probabilities - self.labels) + PRIOR_STRENGTH * (line - [1.0, 0.0])
        curvature = self.weight * (inputs * probabilities * (1 - probabilities)) @ inputs.T + PRIOR_STRENGTH * np.eye(2)
        step = np.asarray(-np.linalg.solve(curvature, gradient))
        if line[0] <= LOWEST_SCALE and step[0] < 0:  # the scale stops here, the bias may still move
            return np.array([0.0, -gradient[1] / curvature[1, 1]])
        return step

    def _margins(self, line: Values) -> Values:
        return np.asarray(line[0] * self.logits + line[1] + self.centre)

    def shorten(self, line: Values, step: Values, *, loss: float) -> tuple[Values, float]:
        """Go along the step as far as the loss falls: the whole way, or half, or a quarter, ..."""
        for halvings in range(30):
            nearer = line + step * 0.5**halvings
            nearer[0] = max(nearer[0], LOWEST_SCALE)
            next_loss = self.loss(nearer)
            if next_loss < loss:
                return nearer, next_loss
        return line, loss


def sigmoid(margins: Values) -> Values:
    """Probabilities of logits, strictly between 0 and 1."""
    # Two bare functions: `np.clip` takes longer than all the rest for a few rows.
    return np.asarray(1 / (1 + np.exp(-np.minimum(np.maximum(margins, -LARGEST_MARGIN), LARGEST_MARGIN))))


def row_weight(logits: Values, labels: Values, blocks: NDArray[np.int64] | None) -> float:
    """One over the design effect: how much the errors of a block's rows add up instead of cancelling; 1 at most.

    Of the two, for the mean of the rows and for their slope, the larger effect counts.
    """
    if blocks is None or not len(blocks):
        return 1.0
    residuals = labels - sigmoid(logits)
    return block_weight([residuals, residuals * (logits - logits.mean())], blocks)


def block_weight(all_errors: Sequence[Values], blocks: NDArray[np.int64] | None) -> float:
    """One over the largest of the design effects of these errors a row, by blocks of rows that err together."""
    if blocks is None or not len(blocks):
        return 1.0
    _, block_by_row = np.unique(blocks, return_inverse=True)
    weight = 1.0
    for errors in all_errors:
        block_sums = np.bincount(block_by_row, weights=errors)
        together = float(np.sum(block_sums**2))
        if together > 0:
            weight = min(weight, float(np.sum(errors**2)) / together)
    return weight
