"""From logits to probabilities that mean what they say, by any rising curve: isotonic regression.

Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002. The
curve is drawn towards the line of `calibrate` by rows that say what the line says, so it needs no floor: neither end
reaches 0 or 1, and a few late rows cannot bend it far.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.learn.calibrate import LARGEST_MARGIN, Calibration, row_weight, sigmoid

Values = NDArray[np.float64]

# What the line says counts as so many independent rows at each of so many places, which are quantiles of the logits: a
# curve is told from a line by what a few rows say in one place, so it takes more than a line needs in all.
PRIOR_PLACES = 32
PRIOR_ROWS = 10.0


@dataclass(frozen=True, kw_only=True)
class IsotonicCalibration:
    """Straight between knots, as logits of probabilities; beyond the first and the last as steep as the line.

    Both `logits` and `margins` rise, so of two rows the order is kept.
    """

    logits: tuple[float, ...]
    margins: tuple[float, ...]
    scale: float

    @classmethod
    def fit(
        cls,
        logits: Values,
        labels: Values,
        *,
        blocks: NDArray[np.int64] | None = None,
        prior_rows: float = PRIOR_ROWS,
    ) -> "IsotonicCalibration":
        """The rising curve nearest to the labels and to the most likely line; no rows, no change.

        `blocks` numbers the block (the day) of each row, as for the line; at each place the line counts `prior_rows`.
        """
        if not len(logits):
            return cls(logits=(0.0,), margins=(0.0,), scale=1.0)
        line = Calibration.fit(logits, labels, blocks=blocks)
        places = np.quantile(logits, np.linspace(0, 1, PRIOR_PLACES))
        weights = np.full(len(logits), row_weight(logits, labels, blocks))
        found = _pooled(
            np.concatenate([logits, places]),
            np.concatenate([labels, line.answers(places)]),
            np.concatenate([weights, np.full(PRIOR_PLACES, prior_rows)]),
        )
        knots, probabilities = np.array(found).T
        # Many rows that are all told apart round the mean of a pool to 1, whose logit has no end.
        probabilities = np.clip(probabilities, *sigmoid(np.array([-LARGEST_MARGIN, LARGEST_MARGIN])))
        margins = np.log(probabilities) - np.log1p(-probabilities)
        return cls(logits=tuple(knots.tolist()), margins=tuple(margins.tolist()), scale=line.scale)

    def answers(self, outputs: Values) -> Values:
        """One probability a row, strictly between 0 and 1; the same for a row in whatever batch."""
        first, last = self.logits[0], self.logits[-1]
        beyond = np.minimum(outputs - first, 0) + np.maximum(outputs - last, 0)
        return sigmoid(np.interp(outputs, self.logits, self.margins) + self.scale * beyond)

    def doubt(self) -> "IsotonicCalibration":
        """The whole curve: who asks for one wants its bends."""
        return self

    def to_json(self) -> str:
        """The knots and the scale as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "IsotonicCalibration":
        """The calibration that `to_json` wrote."""
        stored = json.loads(text)
        return cls(logits=tuple(stored["logits"]), margins=tuple(stored["margins"]), scale=stored["scale"])


def _pooled(places: Values, targets: Values, weights: Values) -> list[tuple[float, float]]:
    """(mean place, mean target) of each pool of neighbours, both rising: adjacent violators are pooled."""
    distinct, place_by_row = np.unique(places, return_inverse=True)
    totals = np.bincount(place_by_row, weights=weights)
    sums = np.bincount(place_by_row, weights=weights * targets)
    pools: list[tuple[float, float, float]] = []  # weight, weighted places, weighted targets
    for place, weight, total in zip(distinct.tolist(), totals.tolist(), sums.tolist(), strict=True):
        pool = (weight, weight * place, total)
        while pools and pools[-1][2] * pool[0] >= pool[2] * pools[-1][0]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    return [(at / weight, target / weight) for weight, at, target in pools]
