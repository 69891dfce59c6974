"""What the house asks of a kind of label: whoever learns, judges, watches, serves or simulates asks here.

Inside the house a label is a float: 0 or 1, the place of a class, or the quantity; NaN where it is not known. Answers
are float64 arrays with one answer a row: a number, or several (`shape`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.labels import Label
from heliostat.metrics import Metric
from heliostat.tasks.doubts import Doubts
from heliostat.tasks.expected import Expected

Values = NDArray[np.float64]


class Task(Protocol):
    """One kind of label, with what depends on it."""

    @property
    def label(self) -> Label:
        """What was declared."""

    @property
    def kind(self) -> str:
        """Its name in bundles and messages."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one answer: () for a number."""

    @property
    def loss(self) -> Metric:
        """What gates compare row by row, decay is seen by, and answers expect of themselves."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All that answers are scored by."""

    @property
    def score(self) -> Metric:
        """What people ask first, higher is better, 1 at most."""

    @property
    def allowed(self) -> str:
        """What a label may be, in words that follow "must be"."""

    def losses(self, labels: Values, answers: Values) -> Values:
        """The losses of single rows, shape (num_rows,); `loss` is their mean."""

    @property
    def codes_allowed(self) -> str:
        """What a label inside the house may be, in words that follow "another than"."""

    def code(self, value: object) -> float | None:
        """The label inside the house of a value that a caller sends; None when it is not allowed."""

    def codes(self, values: pa.ChunkedArray) -> Values:
        """The labels of a source's column: NaN where null, infinite where not allowed; ContractError: another type."""

    def are_codes(self, labels: Values) -> NDArray[np.bool_]:
        """Which of these numbers could be labels inside the house."""

    def value(self, code: float) -> object:
        """The value that `code` was given."""

    def can_learn(self, labels: Values) -> bool:
        """Whether these known labels differ, so that there is something to tell apart."""

    def constant(self, labels: Values) -> Values:
        """The best answer that is the same for every row, of `shape`."""

    def expected(self, answers: Values) -> Expected | None:
        """The loss that answers expect of themselves; None for no answers."""

    def row_scores(self, labels: Values, answers: Values) -> Values:
        """What each row adds to `score`, which is the mean, shape (num_rows,)."""

    def doubts(self, labels: Values, answers: Values) -> Doubts:
        """Which answers were sure, and which labels contradict them: what labels are screened by."""

    def distances(self, one: Values, other: Values) -> Values:
        """How far two answers to each row lie apart, shape (num_rows,)."""

    def output(self, answers: Values) -> pa.Array:
        """What is watched for drift, a number or a text a row."""

    @property
    def output_name(self) -> str:
        """The name of `output`, which no input may have."""

    @property
    def stored(self) -> Sequence[pa.Field]:
        """The columns of the prediction log and of scored tables that hold answers."""

    def columns(self, answers: Values) -> Mapping[str, pa.Array]:
        """Answers as the columns of `stored`."""

    def answers(self, table: pa.Table) -> Values:
        """What `columns` was given; NaN where a row holds none."""

    def told(self, answers: list[Any]) -> dict[str, list[Any]]:
        """What callers get of answers (as `tolist` gives them), a value a row; the prediction itself comes first."""

    @property
    def told_types(self) -> Mapping[str, pa.DataType]:
        """The Arrow types of `told`, where classes are texts."""

    def agrees(self, one: Values, other: Values) -> NDArray[np.bool_]:
        """Whether two answers to each row would lead to the same act."""

    def default_answer(self, default: Any) -> Values | None:
        """The answer of a declared default; None when it cannot be one."""

    def is_like(self, other: "Task") -> bool:
        """Whether answers to `other` mean the same here, so that they may be averaged, or stand in for each other."""

    def sureness(self, answers: Values) -> Values | None:
        """How likely each answer's likeliest label is; None where answers do not differ in that."""

    def are_answers(self, answers: Values) -> NDArray[np.bool_]:
        """Which of these say something: finite, as far as an answer must be."""


def told_arrays(task: Task, answers: list[Any]) -> dict[str, pa.Array]:
    """What callers get of answers as Arrow arrays, one for each name of `told_types`; classes as texts."""
    told = task.told(answers)
    return {
        name: pa.array([str(value) for value in told[name]] if pa.types.is_string(kind) else told[name], kind)
        for name, kind in task.told_types.items()
    }


def repeated(answer: Values, num_rows: int) -> Values:
    """The same answer for every row."""
    return np.broadcast_to(answer, (num_rows, *answer.shape)).copy()
