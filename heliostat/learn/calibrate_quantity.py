"""From outputs to quantities with an interval and the error to expect, by rows that no weight was fitted to.

The interval is split-conformal (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, JASA 2018) on each side: the quantiles
of what labels exceeded values by, so it need not lie evenly around the value. What is learned counts for every row
alike: an error that depends on the inputs is right on average only.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.labels import Quantity

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class QuantityCalibration:
    """A value is centre + scale * output, kept in `lowest` to `highest`; `below` and `above` reach to the interval.

    `deviation` is the root of the mean squared error.
    """

    centre: float
    scale: float
    below: float
    above: float
    deviation: float
    lowest: float | None = None
    highest: float | None = None

    @classmethod
    def fit(
        cls,
        outputs: Values,
        labels: Values,
        *,
        label: Quantity,
        centre: float,
        scale: float,
    ) -> "QuantityCalibration":
        """The errors of these rows; of the two ends each leaves out half of what `coverage` does."""
        known: dict[str, Any] = {"centre": centre, "scale": scale, "lowest": label.low, "highest": label.high}
        if not len(labels):
            return cls(below=0.0, above=0.0, deviation=0.0, **known)
        errors = labels - cls(below=0.0, above=0.0, deviation=0.0, **known).answers(outputs)[:, 0]
        # One more row than there are, on the far side: a new one is as likely to fall into any gap.
        share = min(1.0, (1 - (1 - label.coverage) / 2) * (len(errors) + 1) / len(errors))
        return cls(
            below=float(np.quantile(-errors, share, method="higher")),
            above=float(np.quantile(errors, share, method="higher")),
            deviation=float(np.sqrt(np.mean(errors**2))),
            **known,
        )

    def answers(self, outputs: Values) -> Values:
        """Value, low end, high end and deviation of each row, shape (num_rows, 4)."""
        values = self._kept(self.centre + self.scale * outputs)
        low, high = self._kept(values - self.below), self._kept(values + self.above)
        deviations = np.full(len(values), self.deviation)
        return np.stack([values, np.minimum(low, values), np.maximum(high, values), deviations], axis=1)

    def _kept(self, values: Values) -> Values:
        if self.lowest is None and self.highest is None:
            return values
        return np.clip(values, self.lowest, self.highest)

    def doubt(self) -> "QuantityCalibration":
        """All of it: it widens the interval and shifts no value."""
        return self

    def to_json(self) -> str:
        """All numbers as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "QuantityCalibration":
        """The calibration that `to_json` wrote."""
        return cls(**json.loads(text))
