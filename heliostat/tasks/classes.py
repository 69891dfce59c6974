"""Labels that are one of several classes, answered by a probability for each, in the declared order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.labels import Classes
from heliostat.metrics import OF_CLASSES, Metric, accuracy, chosen, log_loss, log_losses
from heliostat.tasks.doubts import Doubts, doubts_of_classes
from heliostat.tasks.expected import Expected, expected_of_classes
from heliostat.tasks.task import Task

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ClassesTask:
    """Several kinds of rows to tell apart; a label is the place of its class in `label.values`."""

    label: Classes

    kind: ClassVar[str] = "classes"
    loss: ClassVar[Metric] = log_loss
    metrics: ClassVar[tuple[Metric, ...]] = OF_CLASSES
    score: ClassVar[Metric] = accuracy
    output_name: ClassVar[str] = "probabilities"
    stored: ClassVar[Sequence[pa.Field]] = (
        pa.field("class", pa.string()),
        pa.field("probabilities", pa.list_(pa.float64())),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        """One probability a class."""
        return (len(self.label.values),)

    @property
    def allowed(self) -> str:
        """The classes, or the first of them."""
        shown = ", ".join(map(repr, self.label.values[:8]))
        return f"one of {shown}" + (f" and {len(self.label.values) - 8} more" if len(self.label.values) > 8 else "")

    @property
    def codes_allowed(self) -> str:
        """The places."""
        return f"the places of {len(self.label.values)} classes, from 0 on"

    def losses(self, labels: Values, answers: Values) -> Values:
        """The log loss of each row."""
        return log_losses(labels, answers)

    def code(self, value: object) -> float | None:
        """The place of the class; None for what is none."""
        if type(value) is not type(self.label.values[0]) or value not in self.label.values:
            return None
        return float(self.label.values.index(value))  # type: ignore[arg-type]

    def codes(self, values: pa.ChunkedArray) -> Values:
        """The places of the classes; NaN where null, infinite for what is no class."""
        known = pa.array(self.label.values)
        try:
            cast = values.cast(known.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractError(
                f"The label {self.label.name!r} must be {self.allowed}; the source gives {values.type} ({error})."
            ) from error
        places = pc.index_in(cast, value_set=known, skip_nulls=True).cast(pa.float64())
        codes = np.asarray(pc.fill_null(places, np.inf).to_numpy(), np.float64)
        return np.where(np.asarray(pc.is_null(cast).to_numpy()), np.nan, codes)

    def are_codes(self, labels: Values) -> NDArray[np.bool_]:
        """Which of these could be labels."""
        return np.asarray(np.isin(labels, np.arange(len(self.label.values))))

    def value(self, code: float) -> object:
        """The class at that place."""
        return self.label.values[int(code)]

    def can_learn(self, labels: Values) -> bool:
        """At least two classes occur."""
        return len(np.unique(labels)) > 1

    def constant(self, labels: Values) -> Values:
        """The share of each class."""
        return np.bincount(labels.astype(np.int64), minlength=len(self.label.values)) / max(len(labels), 1)

    def expected(self, answers: Values) -> Expected | None:
        """The log loss that probabilities expect of themselves."""
        return expected_of_classes(answers)

    def row_scores(self, labels: Values, answers: Values) -> Values:
        """1 where the likeliest class is right, else 0."""
        return np.asarray(chosen(answers) == labels, np.float64)

    def doubts(self, labels: Values, answers: Values) -> Doubts:
        """Sure is a class above nine in ten; any other label contradicts it."""
        return doubts_of_classes(labels, answers)

    def distances(self, one: Values, other: Values) -> Values:
        """How much probability lies elsewhere: the total variation."""
        return np.asarray(np.abs(one - other).sum(axis=1) / 2)

    def output(self, answers: Values) -> pa.Array:
        """The likeliest class of each row, as text."""
        return self.names.take(pa.array(chosen(answers)))

    def columns(self, answers: Values) -> Mapping[str, pa.Array]:
        """The likeliest class and all probabilities."""
        offsets = np.arange(len(answers) + 1, dtype=np.int32) * len(self.label.values)
        numbers = pa.array(np.ascontiguousarray(answers, np.float64).reshape(-1))
        return {"class": self.output(answers), "probabilities": pa.ListArray.from_arrays(pa.array(offsets), numbers)}

    def answers(self, table: pa.Table) -> Values:
        """The probabilities; NaN where null, and 0 for classes that were declared later."""
        column = pa.chunked_array(table["probabilities"]).combine_chunks()
        found = np.full((table.num_rows, len(self.label.values)), np.nan)
        found[np.asarray(column.is_valid())] = 0.0
        rows = pc.list_parent_indices(column).to_numpy()
        first = np.searchsorted(rows, rows)  # where the row's own numbers begin among all
        found[rows, np.arange(len(rows)) - first] = column.flatten().to_numpy()
        return found

    told_types: ClassVar[Mapping[str, pa.DataType]] = {
        "class": pa.string(),
        "probabilities": pa.list_(pa.float64()),
        "confidence": pa.float64(),
    }

    def told(self, answers: list[Any]) -> dict[str, list[Any]]:
        """The likeliest classes, the probabilities of all in the declared order, and those of the likeliest."""
        best = [row.index(max(row)) for row in answers]
        return {
            "class": [self.label.values[place] for place in best],
            "probabilities": answers,
            "confidence": [row[place] for row, place in zip(answers, best, strict=True)],
        }

    def agrees(self, one: Values, other: Values) -> NDArray[np.bool_]:
        """The likeliest class is the same."""
        return np.asarray(chosen(one) == chosen(other))

    def default_answer(self, default: Any) -> Values | None:
        """A class, answered as certain."""
        code = self.code(default)
        return None if code is None else np.eye(len(self.label.values))[int(code)]

    def is_like(self, other: Task) -> bool:
        """The classes are the same, in the same order."""
        return isinstance(other.label, Classes) and other.label.values == self.label.values

    def sureness(self, answers: Values) -> Values | None:
        """The probability of the likeliest class."""
        return np.asarray(answers.max(axis=1))

    def are_answers(self, answers: Values) -> NDArray[np.bool_]:
        """Those whose probabilities are all finite."""
        return np.asarray(np.isfinite(answers).all(axis=1))

    @property
    def names(self) -> pa.Array:
        """The classes as texts."""
        return pa.array([str(value) for value in self.label.values], pa.string())
