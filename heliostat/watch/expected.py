"""The log loss that answers expect of themselves: what it is when each probability is right.

Log loss less its expectation is (p - y) logit(p), of mean 0 for a calibrated model whatever the inputs are: hard rows
do not look like decay. Its moments are known exactly, and `exp(bet * (loss - expected) - moment)` is an e-value: the
likelihood ratio of answers with their logits shrunk by (1 - bet) against the answers themselves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.metrics import EPSILON

Values = NDArray[np.float64]
BETS = np.array([0.05, 0.1, 0.2, 0.4, 0.8])  # a nat; 0.8 bets on answers that know next to nothing


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Means over rows of the expected log loss, of its variance, and of its log moments at each of BETS.

    `moments` are of bets on a higher loss than expected, `slack_moments` of bets on a lower one.
    """

    loss: float
    variance: float
    moments: tuple[float, ...]
    slack_moments: tuple[float, ...]


def expected(probabilities: Values) -> Expected | None:
    """What calibrated answers expect of themselves; None for no answers."""
    if not len(probabilities):
        return None
    p = np.clip(np.asarray(probabilities, np.float64), EPSILON, 1 - EPSILON)
    logit = np.log(p) - np.log1p(-p)
    return Expected(
        loss=float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean()),
        variance=float((p * (1 - p) * logit**2).mean()),
        moments=tuple(_log_moment(p, logit, bet=bet) for bet in BETS),
        slack_moments=tuple(_log_moment(p, logit, bet=-bet) for bet in BETS),
    )


def _log_moment(p: Values, logit: Values, *, bet: float) -> float:
    """The mean over rows of log E exp(bet * (p - y) * logit), where y is 1 with probability p."""
    return float((bet * p * logit + np.log(p * np.exp(-bet * logit) + 1 - p)).mean())
