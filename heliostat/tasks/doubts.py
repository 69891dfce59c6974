"""What a label can contradict: answers that were sure of themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
UNSURE = 0.1  # an answer is sure where it gives every other outcome together less than that


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Of each row whether its answer was sure, whether its label contradicts it, and how likely the answer held that.

    `expected` is meaningless where the answer was not sure.
    """

    is_sure: NDArray[np.bool_]
    is_contradicted: NDArray[np.bool_]
    expected: Values


def doubts_of_classes(labels: Values, probabilities: Values) -> Doubts:
    """Labels as places of classes beside probabilities of all of them, shape (num_rows, num_classes)."""
    likeliest = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, np.int64)
    expected = 1 - probabilities.max(axis=1, initial=0.0)
    return Doubts(is_sure=expected < UNSURE, is_contradicted=labels != likeliest, expected=expected)
