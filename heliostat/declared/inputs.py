"""What a workload asks of others, as it declares it: their answers as inputs, as votes, or where it is unsure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from heliostat.columns import Category, Column, Number, Text
from heliostat.errors import WorkloadError
from heliostat.tasks import Task
from heliostat.typed import refuse_wrong_types

RESERVED = ("fail", "leave out")
WhenMissing: TypeAlias = float | str
"""What happens without an answer: "fail" refuses the request (503), "leave out" goes on without, and what an answer can
be stands in: a probability, a quantity or a class, in a column of numbers a number."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What `workload` answers is the column `column` of this one; left out it is missing.

    The column is declared beside the others and optional: a `Number` (from 0 to 1) for a probability, a `Number` for a
    quantity, for classes a `Category` (the likeliest) or a `Vector` (the probabilities of all). What a caller sends
    there is not looked at; an answer that the column does not allow counts as none. The other workload reads the
    columns that it declares from the same row.
    """

    column: str
    workload: str
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The answer is the weighted mean of this workload's own model and of `weights`, workload by workload.

    Of probabilities, of those of every class, or of a quantity with its interval; all must answer the same kind of
    label. Who is left out gives its weight to the others.
    """

    weights: Mapping[str, float]
    own: float = 1.0
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))
        # Each by itself: a weight that is not a number would pass a comparison with the smallest.
        if not self.weights or not all(0 < weight < inf for weight in (self.own, *self.weights.values())):
            raise WorkloadError(f"{self}: name at least one other workload; every weight must be above 0, and finite.")


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """The own model answers first; rows of which it is less sure than `until_confident` are asked of `then`.

    Each of `then` answers the rows of which those before it were not sure; the last one's answer counts as it is. Left
    out, the answer before it stands. A quantity has no such thing as confidence, so it has no cascade.
    """

    then: tuple[str, ...]
    until_confident: float = 0.9
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))
        if isinstance(self.then, str) or not self.then or not 0 < self.until_confident <= 1:
            raise WorkloadError(
                f"{self}: then must be a tuple of at least one workload, until_confident above 0 and at most 1."
            )


Combine: TypeAlias = Ensemble | Cascade


def asked(inputs: Sequence[Input], combine: Combine | None) -> tuple[str, ...]:
    """The names of the workloads that are asked, each once."""
    names = [each.workload for each in inputs]
    if isinstance(combine, Ensemble):
        names += combine.weights
    if isinstance(combine, Cascade):
        names += combine.then
    return tuple(dict.fromkeys(names))


def refuse_unfit_inputs(
    name: str, columns: Sequence[Column], *, inputs: Sequence[Input], combine: Combine | None, task: Task
) -> None:
    """WorkloadError when an input has no column that can hold it, or when a workload would ask itself."""
    column_by_name = {column.name: column for column in columns}
    for each in inputs:
        _refuse_unfit_column(name, each, column_by_name.get(each.column))
    if combine is not None:
        _refuse_unfit_combine(name, combine, task)
    filled = [each.column for each in inputs]
    if len(set(filled)) < len(filled):
        raise WorkloadError(f"Workload {name!r} fills one column from two inputs: {filled}. Give each its own.")
    refuse_cycle({name: asked(inputs, combine)})


def refuse_cycle(asked_by_workload: Mapping[str, Sequence[str]]) -> None:
    """WorkloadError that names the way round when a workload would, by way of others, ask itself."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            around = " asks ".join(repr(each) for each in (*way[way.index(name) :], name))
            raise WorkloadError(f"{around}, so no answer would ever come; take one of these inputs out.")
        if name not in done:
            for other in asked_by_workload.get(name, ()):
                visit(other, (*way, name))
            done.add(name)

    for name in sorted(asked_by_workload):
        visit(name, ())


def _refuse_unfit_column(name: str, given: Input, column: Column | None) -> None:
    if column is None or isinstance(column, Text) or not column.optional:
        raise WorkloadError(
            f"{given}: {name!r} declares {column} for it; declare in `columns` "
            f'Number("{given.column}", low=0, high=1, optional=True) for a probability, its own low and high for a '
            "quantity, an optional Category or Vector for classes."
        )
    if given.when_missing not in RESERVED and not _allows(column, given.when_missing):
        raise WorkloadError(f'{given}: when_missing must be "fail", "leave out", or a value that {column} allows.')


def _allows(column: Column, value: float | str) -> bool:
    if isinstance(column, Number):
        return not isinstance(value, str) and column.low <= value <= column.high
    return isinstance(column, Category) and isinstance(value, str) and (column.closed is None or value in column.closed)


def _refuse_unfit_combine(name: str, combine: Combine, task: Task) -> None:
    if combine.when_missing not in RESERVED and task.default_answer(combine.when_missing) is None:
        said = "a probability from 0 to 1" if task.kind == "binary" else task.allowed
        raise WorkloadError(f'{combine}: when_missing of {name!r} must be {said}, "fail" or "leave out".')
    if not isinstance(combine, Cascade):
        return
    if task.kind == "quantity":
        raise WorkloadError(
            f"{combine}: {name!r} answers a quantity, whose intervals are all of one width, so no row is less sure "
            "than another; use Ensemble."
        )
    by_chance = 1 / (task.shape[0] if task.shape else 2)
    if combine.until_confident <= by_chance:
        raise WorkloadError(f"{combine}: until_confident of {name!r} must be above {by_chance:.2g}, which is chance.")


def _refuse_unfit(when_missing: WhenMissing, timeout_s: float | None, *, where: str) -> None:
    if isinstance(when_missing, bool) or not isinstance(when_missing, int | float | str):
        raise WorkloadError(f'{where}: when_missing must be a value that can be answered, "fail" or "leave out".')
    if timeout_s is not None and not timeout_s > 0:
        raise WorkloadError(f"{where}: timeout_s must be above 0; None means what is left of the request's time.")
