"""What a simulation asks of a learner; which one it is, the caller decides."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Model(Protocol):
    """Something that was fitted."""

    def answers(self, rows: pa.Table) -> Values:
        """The answer to each row of inputs, as the stream's task has them: (num_rows, *task.shape)."""


class Begun(Model, Protocol):
    """A fit that was begun: it answers well enough to be ranked among others that were begun."""

    def finished(self) -> Model:
        """What a whole fit of the same rows gives; what was begun must not be asked any more."""


class Learner(Protocol):
    """Fits models; the same rows give the same model."""

    def fit(self, rows: pa.Table, labels: Values) -> Model:
        """A model of rows of inputs with labels that are not all the same."""

    def begin(self, rows: pa.Table, labels: Values) -> Begun:
        """A part of that fit, for a part of its cost."""


@dataclass(frozen=True)
class Whole:
    """A fit that knows no part: begun, it is done."""

    model: Model

    def answers(self, rows: pa.Table) -> Values:
        """The model's."""
        return self.model.answers(rows)

    def finished(self) -> Model:
        """The model."""
        return self.model
