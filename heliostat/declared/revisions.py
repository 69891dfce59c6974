"""Earlier revisions of a workload's contract: what their rows hold, how they read today, and until when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import vectors
from heliostat.columns import WORDS, Column, Vector, normalise, violations
from heliostat.errors import ContractError, WorkloadError
from heliostat.typed import refuse_wrong_types

Derive = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """An earlier contract that is still answered, deprecated since `deprecated_at`, until `sunset_at` (None: not set).

    `renamed` gives today's name of a column. A column that only this or only the current contract has takes, in rows of
    the other, what `derive` makes of the other's columns (by name: numbers float64 with NaN for missing, texts as
    objects with None, vectors float32 of shape [rows, length]), else the constant in `fill`, else null. A column that
    is not optional today needs one of them.
    """

    number: int
    columns: Sequence[Column]
    deprecated_at: datetime
    sunset_at: datetime | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    fill: Mapping[str, float | str] = field(default_factory=dict)
    derive: Mapping[str, Derive] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.number < 1 or not self.columns:
            raise WorkloadError(f"Revision {self.number} must have a number from 1 on and at least one column.")
        for at in (self.deprecated_at, self.sunset_at):
            if at is not None and at.tzinfo is None:
                raise WorkloadError(f"Revision {self.number}: {at.isoformat()} has no time zone; add tzinfo=UTC.")
        if self.sunset_at is not None and self.sunset_at < self.deprecated_at:
            raise WorkloadError(
                f"Revision {self.number} cannot end at {self.sunset_at.isoformat()}, before it is deprecated at "
                f"{self.deprecated_at.isoformat()}; choose a later sunset_at."
            )

    def is_retired(self, at: datetime) -> bool:
        """Whether it is answered no more."""
        return self.sunset_at is not None and at >= self.sunset_at

    @property
    def own_by_name(self) -> Mapping[str, str]:
        """What its columns are called in its rows, by what they are called today."""
        return {self.renamed.get(column.name, column.name): column.name for column in self.columns}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where one logged column of a row comes from: a column that was sent, else a function of all, else a constant."""

    column: Column
    sent: str | None = None
    derive: Derive | None = None
    fill: float | str | None = None


def logged_columns(columns: Sequence[Column], revisions: Sequence[Revision]) -> tuple[Column, ...]:
    """What the log and the lake hold: the current columns, and those retired since the earliest declared revision."""
    column_by_name = {column.name: column for column in columns}
    for revision in revisions:
        for column in revision.columns:
            column_by_name.setdefault(revision.renamed.get(column.name, column.name), column)
    return tuple(column_by_name.values())


def steps(columns: Sequence[Column], revisions: Sequence[Revision], *, number: int) -> tuple[Step, ...]:
    """How rows sent under revision `number` (none of `revisions`: the current one) become rows of the log."""
    current = {column.name for column in columns}
    own = next((revision for revision in revisions if revision.number == number), None)
    sent = {name: name for name in current} if own is None else own.own_by_name
    return tuple(
        Step(column=column, sent=sent[column.name])
        if column.name in sent
        else _unsent(column, own if column.name in current else _holder(column, revisions, own))
        for column in logged_columns(columns, revisions)
    )


def _holder(column: Column, revisions: Sequence[Revision], own: Revision | None) -> Revision | None:
    """The revision that says what a retired column is in rows of the current one; in rows of another nobody does."""
    return next((each for each in revisions if column.name in each.own_by_name), None) if own is None else None


def _unsent(column: Column, revision: Revision | None) -> Step:
    if revision is None:
        return Step(column=column)
    return Step(column=column, derive=revision.derive.get(column.name), fill=revision.fill.get(column.name))


def sent_by_revision(columns: Sequence[Column], revisions: Sequence[Revision], *, current: int) -> dict[int, list[str]]:
    """The logged columns that rows of each revision really say, for whoever counts values."""
    numbers = [current, *(revision.number for revision in revisions)]
    return {
        number: [step.column.name for step in steps(columns, revisions, number=number) if step.sent is not None]
        for number in numbers
    }


def as_trained(table: pa.Table, columns: Sequence[Column], *, renamed: Mapping[str, str]) -> pa.Table:
    """Logged rows as a version sees them that was trained with `columns`, some of which were `renamed` since."""
    today = {old: new for old, new in renamed.items() if old not in table.column_names}
    names = [today.get(column.name, column.name) for column in columns]
    kept = [(column, name) for column, name in zip(columns, names, strict=True) if name in table.column_names]
    return normalise(pa.table({column.name: table[name] for column, name in kept}), columns)


def renamed_since(revisions: Sequence[Revision]) -> dict[str, str]:
    """Today's name of every column that a declared revision called differently."""
    return {old: new for revision in revisions for old, new in revision.renamed.items()}


def refuse_unfit(columns: Sequence[Column], revisions: Sequence[Revision], *, current: int) -> None:
    """WorkloadError naming the first thing that keeps rows of a revision from reading as current ones."""
    numbers = [revision.number for revision in revisions]
    if len(set(numbers)) < len(numbers) or any(number >= current for number in numbers):
        raise WorkloadError(
            f"Earlier revisions must have numbers of their own, below the current one ({current}); got {numbers}. "
            "Raise Workload(revision=...)."
        )
    kind_by_name = {column.name: _kind(column) for column in columns}
    for revision in revisions:
        for problem in _problems(columns, revision, kind_by_name):
            raise WorkloadError(f"Revision {revision.number}: {problem}")


def _problems(columns: Sequence[Column], revision: Revision, kind_by_name: dict[str, str]) -> Iterator[str]:
    current = {column.name: column for column in columns}
    own = {column.name: column for column in revision.columns}
    for old, new in revision.renamed.items():
        if old not in own or old in current or new not in current or new in own:
            yield f"renamed={{{old!r}: {new!r}}} must lead from a column of its own to a current one that it lacks."
    for name, column in own.items():
        today = revision.renamed.get(name, name)
        # One lake holds all revisions, and a column of it has one type.
        kind = kind_by_name.setdefault(today, _kind(column))
        if kind != _kind(column):
            yield f"column {today!r} changes from {_kind(column)} to {kind}; give the new one a name of its own."
    mapped = set(revision.own_by_name)
    one_sided = {**{n: c for n, c in current.items() if n not in mapped}, **_retired(revision, current)}
    for name in [*revision.fill, *revision.derive]:
        if name not in one_sided or (name in revision.fill and name in revision.derive):
            yield f"fill or derive (one of them) may name {sorted(one_sided)}, which only one side has; got {name!r}."
    for name, column in one_sided.items():
        if name in current and not column.optional and name not in {**revision.fill, **revision.derive}:
            yield f"its rows lack {name!r}, which is not optional; give it a value in `fill` or `derive`."
        if name in revision.fill:
            yield from _misfits(revision.fill[name], column)


def _kind(column: Column) -> str:
    """What a column of the lake cannot change: what it holds, and of a vector how many numbers."""
    return f"a list of {column.length} numbers" if isinstance(column, Vector) else WORDS[type(column)]


def _retired(revision: Revision, current: Mapping[str, Column]) -> dict[str, Column]:
    return {c.name: c for c in revision.columns if c.name not in current and c.name not in revision.renamed}


def _misfits(value: float | str, column: Column) -> Iterator[str]:
    try:
        found = violations(normalise(pa.table({column.name: [value]}), [column]), [column])
    except ContractError as error:
        yield f"fill: {error}"
        return
    for violation in found:
        yield f"fill: column {violation.column!r} {violation.reason}; got {violation.value!r}."


def backfilled(table: pa.Table, columns: Sequence[Column], revisions: Sequence[Revision]) -> pa.Table:
    """Rows of any age with what the declared revisions say of the columns that they did not have yet."""
    for revision in sorted(revisions, key=lambda each: -each.number):
        for step in steps(columns, revisions, number=revision.number):
            table = _fill_nulls(table, step)
    return table


def _fill_nulls(table: pa.Table, step: Step) -> pa.Table:
    name = step.column.name
    if name not in table.column_names or not table[name].null_count or step.sent == name:
        return table
    if step.sent is not None:
        other = table[step.sent] if step.sent in table.column_names else None
    elif step.derive is not None:
        # A list, because Arrow makes no column of a matrix.
        derived = list(step.derive(_arrays(table)))
        other = pa.chunked_array([pa.array(derived, step.column.arrow_type, from_pandas=True)])
    else:
        # An optional column says by null that nothing is known, which a constant would hide.
        is_needed = step.fill is not None and not step.column.optional
        other = pa.chunked_array([pa.repeat(pa.scalar(step.fill), table.num_rows)]) if is_needed else None
    if other is None:
        return table
    merged = pa.compute.coalesce(table[name], other.cast(step.column.arrow_type))
    return table.set_column(table.schema.get_field_index(name), name, merged)


def _arrays(table: pa.Table) -> dict[str, NDArray[Any]]:
    return {name: _array(table[name]) for name in table.column_names}


def _array(values: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_list(values.type):
        return vectors.to_matrix(values, length=vectors.widest(values))
    return np.asarray(values.to_numpy())
