"""Whether one version is worse than another on the same rows, by a test that may be looked at after every block.

For a block difference X that scatters evenly around its mean, exp(b (X - m) - b^2 (X - m)^2 / 2) is at most 1 on
average while the mean is at most m (de la Peña, "A general class of exponential inequalities for martingales and
ratios", Annals of Probability 1999). The product over blocks, averaged over the bets b, reaches 20 with a chance of at
most 5%, whenever and however often one looks (Ville). Blocks, because rows near in time err together. No variance has
to be known, and a single wild block cannot decide: its square counts against it.
"""

import math
from collections.abc import Sequence

import numpy as np

BETS = np.array([0.1, 0.2, 0.4, 0.8])  # in units of the scatter of the blocks before
SURE = math.log(20.0)


def log_evidence(differences: Sequence[float], *, margin: float = 0.0) -> float:
    """The highest log evidence so far, in nats, that block differences lie above `margin`; 0 says nothing.

    `differences` are means of blocks in time order. The first block only tells the scale.
    """
    excess = np.asarray(differences, np.float64) - margin
    excess = excess[excess != 0]  # they neither cost nor gain, and are no scale
    num_blocks = len(excess)
    if num_blocks < 2:
        return 0.0
    squares = np.cumsum(excess**2)[:-1] / np.arange(1, num_blocks)
    steps = (excess[1:] / np.sqrt(squares))[:, None] * BETS
    wealth = np.cumsum(steps - steps**2 / 2, axis=0)
    mixed = np.logaddexp.reduce(wealth, axis=1) - math.log(len(BETS))
    return max(0.0, float(mixed.max()))
