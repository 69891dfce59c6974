"""Labels that are quantities, answered by a value, an interval, and the error that the value expects of itself."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.labels import Quantity
from heliostat.metrics import OF_QUANTITIES, Metric, mse, quantities, r2, squared_errors
from heliostat.tasks.binary import numbers_of
from heliostat.tasks.doubts import Doubts
from heliostat.tasks.expected import Expected
from heliostat.tasks.task import Task

Values = NDArray[np.float64]
LARGEST = sys.float_info.max
NAMES = ("value", "low", "high", "deviation")


@dataclass(frozen=True)
class QuantityTask:
    """How much: each answer is (value, low, high, deviation), the last the root of the squared error to expect."""

    label: Quantity

    kind: ClassVar[str] = "quantity"
    shape: ClassVar[tuple[int, ...]] = (len(NAMES),)
    loss: ClassVar[Metric] = mse
    metrics: ClassVar[tuple[Metric, ...]] = OF_QUANTITIES
    score: ClassVar[Metric] = r2
    output_name: ClassVar[str] = "value"
    stored: ClassVar[Sequence[pa.Field]] = tuple(pa.field(name, pa.float64()) for name in NAMES)

    @property
    def allowed(self) -> str:
        """The bounds, in words."""
        low, high = self.label.low, self.label.high
        if low is None and high is None:
            return "a finite number"
        if low is None or high is None:
            return f"a finite number of at most {high:g}" if low is None else f"a finite number of at least {low:g}"
        return f"a number from {low:g} to {high:g}"

    @property
    def codes_allowed(self) -> str:
        """The bounds."""
        return self.allowed

    def losses(self, labels: Values, answers: Values) -> Values:
        """The squared error of each row."""
        return squared_errors(labels, answers)

    def code(self, value: object) -> float | None:
        """The number; None for what is none or lies outside the bounds."""
        low, high = self.label.bounds
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if max(low, -LARGEST) <= value <= min(high, LARGEST) else None

    def codes(self, values: pa.ChunkedArray) -> Values:
        """The numbers; NaN where null or no number, infinite outside the bounds."""
        numbers, (low, high) = numbers_of(values, self.label.name), self.label.bounds
        return np.where((numbers < low) | (numbers > high), np.inf, numbers)

    def are_codes(self, labels: Values) -> NDArray[np.bool_]:
        """Which of these could be labels."""
        return np.asarray(np.isfinite(labels) & (labels >= self.label.bounds[0]) & (labels <= self.label.bounds[1]))

    def value(self, code: float) -> object:
        """The number itself."""
        return code

    def can_learn(self, labels: Values) -> bool:
        """They are not all the same."""
        return len(labels) > 1 and bool((labels != labels[0]).any())

    def constant(self, labels: Values) -> Values:
        """The mean, and the interval that holds the declared share of the labels."""
        beyond = (1 - self.label.coverage) / 2
        low, high = np.quantile(labels, [beyond, 1 - beyond])
        return np.array([labels.mean(), low, high, labels.std()])

    def expected(self, answers: Values) -> Expected | None:
        """The squared error that answers expect of themselves; its variance is that of normal errors."""
        if not len(answers):
            return None
        squares = answers[:, 3] ** 2
        return Expected(loss=float(squares.mean()), variance=float(2 * (squares**2).mean()))

    def row_scores(self, labels: Values, answers: Values) -> Values:
        """1 less the squared error as a share of the labels' variance; their mean is R2, NaN where labels are alike."""
        variance = float(np.var(labels)) if len(labels) else 0.0
        return 1 - squared_errors(labels, answers) / (variance if variance > 0 else np.nan)

    def doubts(self, labels: Values, answers: Values) -> Doubts:
        """Every interval is sure to its declared share; a label outside contradicts it."""
        low, high = answers[:, 1], answers[:, 2]
        return Doubts(
            is_sure=np.isfinite(low) & np.isfinite(high),
            is_contradicted=(labels < low) | (labels > high),
            expected=np.full(len(answers), 1 - self.label.coverage),
        )

    def distances(self, one: Values, other: Values) -> Values:
        """How far the values lie apart, in the label's unit."""
        return np.asarray(np.abs(one[:, 0] - other[:, 0]))

    def output(self, answers: Values) -> pa.Array:
        """The values."""
        return pa.array(quantities(answers), pa.float64())

    def columns(self, answers: Values) -> Mapping[str, pa.Array]:
        """One column for each number of an answer, null where there is none."""
        return {name: pa.array(answers[:, place], pa.float64(), from_pandas=True) for place, name in enumerate(NAMES)}

    def answers(self, table: pa.Table) -> Values:
        """The numbers of each answer; NaN where null."""
        return np.stack([pc.fill_null(table[name], np.nan).to_numpy() for name in NAMES], axis=1).astype(np.float64)

    told_types: ClassVar[Mapping[str, pa.DataType]] = dict.fromkeys(NAMES, pa.float64())

    def told(self, answers: list[Any]) -> dict[str, list[Any]]:
        """The values, both ends of their intervals, and their deviations; None where not known."""
        rows = [[None if number != number else number for number in row] for row in answers]  # noqa: PLR0124 - NaN
        return {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}

    def agrees(self, one: Values, other: Values) -> NDArray[np.bool_]:
        """Each value lies in the other's interval."""
        own_in = (other[:, 1] <= one[:, 0]) & (one[:, 0] <= other[:, 2])
        return np.asarray(own_in & (one[:, 1] <= other[:, 0]) & (other[:, 0] <= one[:, 2]))

    def default_answer(self, default: Any) -> Values | None:
        """A quantity without an interval: nothing is known of its error."""
        code = self.code(default)
        return None if code is None else np.array([code, np.nan, np.nan, np.nan])

    def is_like(self, other: Task) -> bool:
        """A quantity in the same unit, whose intervals hold the same share: ends of others mean something else."""
        mine, label = self.label, other.label
        return isinstance(label, Quantity) and (label.unit, label.coverage) == (mine.unit, mine.coverage)

    def sureness(self, answers: Values) -> Values | None:
        """None: the intervals of a version are of one width."""
        return None

    def are_answers(self, answers: Values) -> NDArray[np.bool_]:
        """Those with a finite value; a declared default has no interval."""
        return np.asarray(np.isfinite(answers[:, 0]))
