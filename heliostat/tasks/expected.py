"""The loss that answers expect of themselves: what it is on average when they mean what they say.

Log loss less its expectation has mean 0 for a calibrated model whatever the inputs are: hard rows do not look like
decay. Its moments are known exactly, and `exp(bet * (loss - expected) - moment)` is an e-value: the likelihood ratio of
answers with their logits shrunk by (1 - bet) against the answers themselves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.metrics import EPSILON

Values = NDArray[np.float64]
BETS = np.array([0.05, 0.1, 0.2, 0.4, 0.8])  # a nat; 0.8 bets on answers that know next to nothing


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Means over rows of the expected loss, of its variance, and of its log moments at each of BETS.

    `moments` are of bets on a higher loss than expected, `slack_moments` of bets on a lower one; empty where they are
    not known, as those of a quantity's errors: then sums over many rows are taken as normal.
    """

    loss: float
    variance: float
    moments: tuple[float, ...] = ()
    slack_moments: tuple[float, ...] = ()


def expected(probabilities: Values) -> Expected | None:
    """What calibrated probabilities of 1 expect of themselves; None for no answers."""
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


def expected_of_classes(probabilities: Values) -> Expected | None:
    """The same of probabilities of all classes, shape (num_rows, num_classes)."""
    if not len(probabilities):
        return None
    p = np.clip(np.asarray(probabilities, np.float64), EPSILON, 1 - EPSILON)
    p = p / p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=1)
    return Expected(
        loss=float(entropy.mean()),
        variance=float(((p * np.log(p) ** 2).sum(axis=1) - entropy**2).mean()),
        moments=tuple(_log_moment_of_classes(p, entropy, bet=bet) for bet in BETS),
        slack_moments=tuple(_log_moment_of_classes(p, entropy, bet=-bet) for bet in BETS),
    )


def _log_moment(p: Values, logit: Values, *, bet: float) -> float:
    """The mean over rows of log E exp(bet * (p - y) * logit), where y is 1 with probability p."""
    return float((bet * p * logit + np.log(p * np.exp(-bet * logit) + 1 - p)).mean())


def _log_moment_of_classes(p: Values, entropy: Values, *, bet: float) -> float:
    """The mean over rows of log E exp(bet * (loss - entropy)), where class k comes with probability p_k."""
    return float((np.log((p ** (1 - bet)).sum(axis=1)) - bet * entropy).mean())
