"""Labels 0 and 1, answered by the probability of 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.labels import Binary
from heliostat.metrics import ALL, Metric, accuracy, chosen, log_loss, log_losses
from heliostat.tasks.doubts import UNSURE, Doubts
from heliostat.tasks.expected import Expected, expected
from heliostat.tasks.task import Task

Values = NDArray[np.float64]
HALF = 0.5
FEW_ROWS = 64  # up to here a plain loop is quicker than numpy


@dataclass(frozen=True)
class BinaryTask:
    """Two kinds of rows to tell apart."""

    label: Binary

    kind: ClassVar[str] = "binary"
    shape: ClassVar[tuple[int, ...]] = ()
    loss: ClassVar[Metric] = log_loss
    metrics: ClassVar[tuple[Metric, ...]] = ALL
    score: ClassVar[Metric] = accuracy
    allowed: ClassVar[str] = "0 or 1"
    codes_allowed: ClassVar[str] = "0 and 1"
    output_name: ClassVar[str] = "probability"
    stored: ClassVar[Sequence[pa.Field]] = (pa.field("probability", pa.float64()),)

    def losses(self, labels: Values, answers: Values) -> Values:
        """The log loss of each row."""
        return log_losses(labels, answers)

    def code(self, value: object) -> float | None:
        """0 or 1; None for anything else, true and false included."""
        return float(value) if type(value) in (int, float) and value in (0, 1) else None  # type: ignore[arg-type]

    def codes(self, values: pa.ChunkedArray) -> Values:
        """0 and 1; NaN where null, infinite for another number."""
        numbers = numbers_of(values, self.label.name)
        return np.where(np.isnan(numbers) | (numbers == 0) | (numbers == 1), numbers, np.inf)

    def are_codes(self, labels: Values) -> NDArray[np.bool_]:
        """Which of these could be labels."""
        return np.asarray(np.isin(labels, (0.0, 1.0)))

    def value(self, code: float) -> object:
        """0 or 1."""
        return int(code)

    def can_learn(self, labels: Values) -> bool:
        """Both occur."""
        return len(np.unique(labels)) > 1

    def constant(self, labels: Values) -> Values:
        """The share of ones."""
        return np.asarray(np.mean(labels), np.float64)

    def expected(self, answers: Values) -> Expected | None:
        """The log loss that probabilities expect of themselves."""
        return expected(answers)

    def row_scores(self, labels: Values, answers: Values) -> Values:
        """1 where the likelier label is right, else 0."""
        return np.asarray(chosen(answers) == labels, np.float64)

    def doubts(self, labels: Values, answers: Values) -> Doubts:
        """Sure is below one in ten, or above nine."""
        expected = np.minimum(answers, 1 - answers)
        is_contradicted = (answers > HALF) != (labels > HALF)
        return Doubts(is_sure=expected < UNSURE, is_contradicted=is_contradicted, expected=expected)

    def distances(self, one: Values, other: Values) -> Values:
        """How far the probabilities lie apart."""
        return np.asarray(np.abs(one - other))

    def output(self, answers: Values) -> pa.Array:
        """The probabilities."""
        return pa.array(answers, pa.float64())

    def columns(self, answers: Values) -> Mapping[str, pa.Array]:
        """One column, `probability`."""
        return {"probability": pa.array(answers, pa.float64())}

    def answers(self, table: pa.Table) -> Values:
        """The probabilities; NaN where null."""
        return np.asarray(table["probability"].to_numpy(), np.float64)

    told_types: ClassVar[Mapping[str, pa.DataType]] = {"probability": pa.float64(), "confidence": pa.float64()}

    def told(self, answers: list[Any]) -> dict[str, list[Any]]:
        """The probabilities, and how sure each is of the likelier of the two labels."""
        if len(answers) <= FEW_ROWS:
            return {"probability": answers, "confidence": [max(p, 1.0 - p) for p in answers]}
        probabilities = np.array(answers)
        return {"probability": answers, "confidence": np.maximum(probabilities, 1.0 - probabilities).tolist()}

    def agrees(self, one: Values, other: Values) -> NDArray[np.bool_]:
        """Both are on the same side of one half."""
        return np.asarray((one >= HALF) == (other >= HALF))

    def default_answer(self, default: Any) -> Values | None:
        """A probability."""
        is_number = isinstance(default, int | float) and not isinstance(default, bool)
        return np.asarray(default, np.float64) if is_number and 0 <= default <= 1 else None

    def is_like(self, other: Task) -> bool:
        """The other's labels are 0 and 1, too."""
        return other.kind == self.kind

    def sureness(self, answers: Values) -> Values | None:
        """The probability of the likelier label."""
        return np.asarray(np.maximum(answers, 1.0 - answers))

    def are_answers(self, answers: Values) -> NDArray[np.bool_]:
        """Finite ones."""
        return np.asarray(np.isfinite(answers))


def numbers_of(values: pa.ChunkedArray, name: str) -> Values:
    """A column as float64, NaN where null; ContractError when it holds no numbers."""
    try:
        numbers = pc.fill_null(values.cast(pa.float64()), float("nan"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"The label {name!r} must be a number; the source gives {values.type} ({error})."
        ) from error
    return np.asarray(numbers.to_numpy(), np.float64)
