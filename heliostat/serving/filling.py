"""What another workload answers, as values of a column: a probability, a quantity, a class, or all probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import Category, Column, Number, Vector, violations
from heliostat.declared.inputs import asked
from heliostat.errors import ContractError, WorkloadError
from heliostat.labels import Label
from heliostat.tasks import Task, Values, task_of
from heliostat.vectors import from_matrix
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Filling:
    """One value of the column an answer; `reason_by_place` names the answers that the column does not allow."""

    values: pa.Array
    reason_by_place: dict[int, str]

    @property
    def plain(self) -> list[Any]:
        """The same as a list, None where the column does not allow the answer."""
        found: list[Any] = self.values.to_pylist()
        for place in self.reason_by_place:
            found[place] = None
        return found


def filling(answers: Sequence[Any], task: Task, column: Column) -> Filling:
    """The answers as values of the column; ContractError when it holds none of their kind."""
    reason = misfit(task, column)
    if reason is not None:
        raise ContractError(reason)
    values = _values(np.asarray(answers, np.float64).reshape(-1, *task.shape), task, column)
    table = pa.table({column.name: values})
    # The first reason of a row says enough.
    reason_by_place = {found.row: found.reason for found in reversed(violations(table, [column]))}
    return Filling(values=values, reason_by_place=reason_by_place)


def misfit(task: Task, column: Column) -> str | None:
    """Why the column can hold no answer of this kind, in a sentence that says what could; None when it can."""
    name = column.name
    if task.kind == "classes":
        num_classes = task.shape[0]
        is_fit = isinstance(column, Category) or (isinstance(column, Vector) and column.length == num_classes)
        fit = f'Category("{name}", optional=True) or Vector("{name}", {num_classes}, optional=True)'
        said = f"one of {num_classes} classes"
    elif task.kind == "quantity":
        is_fit, fit, said = (
            isinstance(column, Number),
            f'Number("{name}", low=..., high=..., optional=True)',
            "a quantity",
        )
    else:
        is_fit = isinstance(column, Number) and column.low <= 0 and column.high >= 1
        fit, said = f'Number("{name}", low=0, high=1, optional=True)', "a probability"
    return None if is_fit else f"{column} cannot hold {said}; declare {fit}."


def refuse_other_kinds(workload: Workload, label_by_workload: Mapping[str, Label]) -> None:
    """WorkloadError when one that is asked answers what the workload has no column for, or cannot combine."""
    column_by_name = {column.name: column for column in workload.columns}
    for each in workload.inputs:
        label = label_by_workload.get(each.workload)
        reason = None if label is None else misfit(task_of(label), column_by_name[each.column])
        if reason is not None:
            raise WorkloadError(f"{workload.name!r} asks {each.workload!r}: {reason}")
    for name in asked((), workload.combine):
        label = label_by_workload.get(name)
        if label is not None and not workload.task.is_like(task_of(label)):
            raise WorkloadError(
                f"{workload.name!r} asks {name!r}, which answers {label}; only answers like those to {workload.label} "
                "can be combined with it. Take it as an input instead."
            )


def _values(answers: Values, task: Task, column: Column) -> pa.Array:
    if isinstance(column, Vector):
        return from_matrix(answers.astype(np.float32))
    # Of a quantity the value, of classes the likeliest one.
    return task.output(answers).cast(column.arrow_type)
