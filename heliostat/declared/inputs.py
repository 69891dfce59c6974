"""What a workload asks of others, as it declares it: their answers as inputs, as votes, or where it is unsure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from heliostat.columns import Column, Number
from heliostat.errors import WorkloadError

WhenMissing: TypeAlias = float | Literal["fail", "leave out"]
"""What happens without an answer: "fail" refuses the request (503), "leave out" goes on without, a number stands in."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """The probability that `workload` gives is the column `column` of this one; left out it is missing.

    The column is declared beside the others, as `Number(column, low=0, high=1, optional=True)`; what a caller sends
    there is not looked at. The other workload reads the columns that it declares from the same row.
    """

    column: str
    workload: str
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The answer is the weighted mean of this workload's own model and of `weights`, workload by workload.

    Who is left out gives its weight to the others.
    """

    weights: Mapping[str, float]
    own: float = 1.0
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))
        if not self.weights or min(self.weights.values()) <= 0 or self.own <= 0:
            raise WorkloadError(f"{self}: name at least one other workload; every weight must be above 0.")


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """The own model answers first; rows of which it is less sure than `until_confident` are asked of `then`.

    Each of `then` answers the rows of which those before it were not sure; the last one's answer counts as it is. Left
    out, the answer before it stands.
    """

    then: tuple[str, ...]
    until_confident: float = 0.9
    when_missing: WhenMissing = "leave out"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _refuse_unfit(self.when_missing, self.timeout_s, where=str(self))
        if isinstance(self.then, str) or not self.then or not 0.5 < self.until_confident <= 1:
            raise WorkloadError(
                f"{self}: then must be a tuple of at least one workload, until_confident above 0.5 and at most 1."
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
    name: str, columns: Sequence[Column], *, inputs: Sequence[Input], combine: Combine | None
) -> None:
    """WorkloadError when an input has no column that can hold it, or when a workload would ask itself."""
    column_by_name = {column.name: column for column in columns}
    for each in inputs:
        column = column_by_name.get(each.column)
        holds = isinstance(column, Number) and column.optional and column.low <= 0 and column.high >= 1
        if not holds:
            raise WorkloadError(
                f"{each}: {name!r} declares {column} for it; declare "
                f'Number("{each.column}", low=0, high=1, optional=True) in `columns`.'
            )
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


def _refuse_unfit(when_missing: WhenMissing, timeout_s: float | None, *, where: str) -> None:
    is_number = isinstance(when_missing, (int, float)) and 0 <= when_missing <= 1
    if not is_number and when_missing not in ("fail", "leave out"):
        raise WorkloadError(f'{where}: when_missing must be a probability from 0 to 1, "fail" or "leave out".')
    if timeout_s is not None and not timeout_s > 0:
        raise WorkloadError(f"{where}: timeout_s must be above 0; None means what is left of the request's time.")
