"""What a simulation asks of a learner; which one it is, the caller decides."""

from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Model(Protocol):
    """Something that was fitted."""

    def probabilities(self, rows: pa.Table) -> Values:
        """The probability of label 1 for each row of inputs, shape (num_rows,)."""


class Learner(Protocol):
    """Fits models; the same rows give the same model."""

    def fit(self, rows: pa.Table, labels: Values) -> Model:
        """A model of rows of inputs with labels 0 and 1, both of which occur."""
