"""What a simulation asks of a learner; which one it is, the caller decides."""

from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Model(Protocol):
    """Something that was fitted."""

    def answers(self, rows: pa.Table) -> Values:
        """The answer to each row of inputs, as the stream's task has them: (num_rows, *task.shape)."""


class Learner(Protocol):
    """Fits models; the same rows give the same model."""

    def fit(self, rows: pa.Table, labels: Values) -> Model:
        """A model of rows of inputs with labels that are not all the same."""
