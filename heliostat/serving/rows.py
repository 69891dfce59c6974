"""What a caller asks about: rows read, checked against the contract, and kept as plain columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa

from heliostat.columns import Column
from heliostat.declared.revisions import Revision, logged_columns, steps
from heliostat.errors import ContractError
from heliostat.labels import Binary, Label
from heliostat.serving.arrow_cells import kept, plain_values
from heliostat.serving.cells import NumberBlock, Values
from heliostat.serving.completion import Cells, Completion
from heliostat.serving.instants import instants
from heliostat.serving.problem import MalformedError
from heliostat.serving.row_keys import keys_of, own_keys, refuse_long_key
from heliostat.tasks import Task, task_of
from heliostat.workload import Workload

__all__ = ["Cells", "Contract", "Defaults", "RowReader", "Rows"]

_Identities: TypeAlias = tuple[list[str], list[datetime], list[datetime | None]]
"""The key, the event's time and the due time of every row."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a row of a request may hold: the inputs, and the names of its identity and times."""

    columns: tuple[Column, ...]
    key: str
    event_time: str
    due_time: str
    longest_due: timedelta = timedelta(days=366)
    max_event_ahead: timedelta = timedelta(days=366)
    revision: int = 1
    earlier: tuple[Revision, ...] = ()
    label: Label = field(default_factory=lambda: Binary("label"))

    @property
    def task(self) -> Task:
        """What depends on the kind of the label."""
        return task_of(self.label)

    @property
    def logged(self) -> tuple[Column, ...]:
        """The columns of the log, and of what every version is asked with."""
        return logged_columns(self.columns, self.earlier)

    @classmethod
    def of(cls, workload: Workload) -> "Contract":
        """The contract that a workload declares."""
        return cls(
            columns=tuple(workload.columns),
            key=workload.key,
            event_time=workload.event_time,
            due_time=workload.due_time or "due_time",
            longest_due=workload.serving.longest_due,
            max_event_ahead=workload.serving.max_event_ahead,
            revision=workload.revision,
            earlier=tuple(workload.earlier),
            label=workload.label,
        )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Checked rows, one value list a logged column: numbers are float, text is str, missing is None (in Arrow: null).

    Vectors are always an Arrow array of lists.

    `revision` is the contract revision under which they were read.
    """

    values_by_column: Mapping[str, Cells]
    keys: list[str]
    event_at: list[datetime]
    due_at: list[datetime | None]
    revision: int = 1

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return len(self.keys)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a row gets that does not say it: from the request alone, so a repeated request gives the same rows."""

    request_id: str
    received_at: datetime
    key: str | None = None

    def __post_init__(self) -> None:
        """ContractError when the key is too long."""
        if self.key is not None:
            refuse_long_key(self.key, where="`key`")


class RowReader:
    """Reads requests under one contract revision; raises ContractError naming the row, the column and the value."""

    def __init__(self, contract: Contract, revision: Revision | None = None) -> None:
        self._contract = contract
        self.columns = contract.columns if revision is None else tuple(revision.columns)
        self.revision = contract.revision if revision is None else revision.number
        self._completed = Completion(steps(contract.columns, contract.earlier, number=self.revision))
        self._names = [column.name for column in self.columns]
        # The workload's own name first; the general one works for every workload.
        self._key_names = _aliases(contract.key, "key", taken=self._names)
        self._event_names = _aliases(contract.event_time, "event_time", taken=self._names)
        self._due_names = _aliases(contract.due_time, "due_time", taken=self._names)
        self.extra_names = (*self._key_names, *self._event_names, *self._due_names)
        self._own_names = frozenset(self._names)
        self._allowed = frozenset((*self._names, *self.extra_names))
        self._numbers = NumberBlock(self.columns)
        # Two names at least, or itemgetter gives the bare value.
        self._cells_of = itemgetter(*self._names) if len(self._names) > 1 else lambda row: (row[self._names[0]],)
        self._required = [column.name for column in self.columns if not column.optional]

    @property
    def names(self) -> frozenset[str]:
        """All that a row may carry."""
        return self._allowed

    def from_rows(self, rows: Sequence[Mapping[str, Any]], defaults: Defaults) -> Rows:
        """Checked rows from a list of objects."""
        if set(map(type, rows)) != {dict}:
            raise MalformedError('`rows` must be a list of at least one object: {"rows": [{...}]}.')
        is_bare = True
        for index, row in enumerate(rows):
            if not row.keys() <= self._own_names:
                is_bare = False
                if not row.keys() <= self._allowed:
                    self._refuse_unknown(row, index)
        named = self._by_name(rows)
        for name in self._required:
            if None in named[name]:
                _refuse_absent(rows, name)
        extras = {} if is_bare else {name: [row.get(name) for row in rows] for name in self.extra_names}
        return self._checked(named, extras, num_rows=len(rows), defaults=defaults)

    def _by_name(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
        try:
            cells = zip(*map(self._cells_of, rows), strict=True)
        except KeyError:  # an optional column was left out, or a required one, which is refused later
            return {name: [row.get(name) for row in rows] for name in self._names}
        return dict(zip(self._names, map(list, cells), strict=True))

    def from_columns(self, values_by_name: Mapping[str, Cells], defaults: Defaults) -> Rows:
        """Checked rows from lists or Arrow arrays of equal length, one a name."""
        if not values_by_name.keys() <= self._allowed:
            self._refuse_unknown(values_by_name, None)
        lengths = {len(values) for values in values_by_name.values()}
        if len(lengths) != 1 or lengths == {0}:
            _refuse_lengths(values_by_name)
        missing = [name for name in self._required if name not in values_by_name]
        if missing:
            raise ContractError(
                f"Column {missing[0]!r} is missing; got {sorted(values_by_name)}. Send it with every row."
            )
        num_rows = lengths.pop()
        nothing: Values = [None] * num_rows
        named = {name: values_by_name.get(name, nothing) for name in self._names}
        is_bare = values_by_name.keys() <= self._own_names
        names = () if is_bare else self.extra_names
        extras = {name: _plain(values_by_name.get(name, nothing), name) for name in names}
        return self._checked(named, extras, num_rows=num_rows, defaults=defaults)

    def _checked(
        self, named: Mapping[str, Cells], extras: Mapping[str, Values], *, num_rows: int, defaults: Defaults
    ) -> Rows:
        identities = self._identities if extras else _no_identities
        keys, event_at, due_at = identities(extras, num_rows=num_rows, defaults=defaults)
        numbers = self._numbers.accepted(named, num_rows=num_rows)
        sent = {
            column.name: numbers[column.name] if column.name in numbers else kept(named[column.name], column)
            for column in self.columns
        }
        return Rows(
            values_by_column=self._completed(sent, num_rows=num_rows),
            keys=keys,
            event_at=event_at,
            due_at=due_at,
            revision=self.revision,
        )

    def _identities(self, extras: Mapping[str, Values], *, num_rows: int, defaults: Defaults) -> _Identities:
        given_keys = _first_given(extras, self._key_names, num_rows)
        keys = keys_of(given_keys, self._key_names[0], key=defaults.key, request_id=defaults.request_id)
        given_at = instants(_first_given(extras, self._event_names, num_rows), column=self._event_names[0])
        event_at = [defaults.received_at if at is None else at for at in given_at]
        self._refuse_far_event(event_at, received_at=defaults.received_at)
        due_at = instants(_first_given(extras, self._due_names, num_rows), column=self._due_names[0])
        self._refuse_far_due(event_at, due_at)
        return keys, event_at, due_at

    def _refuse_far_event(self, event_at: Sequence[datetime], *, received_at: datetime) -> None:
        # One row in each of a thousand years would make the monitor keep as many windows, until they are over.
        longest = self._contract.max_event_ahead
        if max(event_at) - received_at <= longest:
            return
        row = next(row for row, at in enumerate(event_at) if at - received_at > longest)
        raise ContractError(
            f"row {row}: column {self._event_names[0]!r} may lie {_span(longest)} after the request, which came at "
            f"{received_at.isoformat(timespec='seconds')}; got {event_at[row].isoformat()}. The workload's "
            "Serving(max_event_ahead=...) sets how far."
        )

    def _refuse_far_due(self, event_at: Sequence[datetime], due_at: Sequence[datetime | None]) -> None:
        # One row due in a thousand years would make the monitor look back as far for every cohort.
        longest = self._contract.longest_due
        if due_at.count(None) == len(due_at):
            return
        for row, (event, due) in enumerate(zip(event_at, due_at, strict=True)):
            if due is not None and (due < event or due - event > longest):  # a sum could lie beyond all dates
                raise ContractError(
                    f"row {row}: column {self._due_names[0]!r} must lie within {longest.days} days after the event at "
                    f"{event.isoformat()}; got {due.isoformat()}. The workload's Serving(longest_due=...) sets how far."
                )

    def _refuse_unknown(self, row: Mapping[str, Any], index: int | None) -> None:
        unknown = sorted(set(row) - self._allowed)[0]
        where = "" if index is None else f"row {index}: "
        value = row[unknown]
        shown = f"Arrow {value.type!s:.80}" if isinstance(value, pa.Array) else f"{value!r:.80}"
        raise ContractError(
            f"{where}column {unknown!r:.80} is not declared; got {shown}. "
            f"Declared are: {', '.join(self._names)}; a row may carry {', '.join(self.extra_names)} too."
        )


def _span(limit: timedelta) -> str:
    return f"{limit.days} days" if limit.seconds == limit.microseconds == 0 else str(limit)


def _no_identities(_: Mapping[str, Values], *, num_rows: int, defaults: Defaults) -> _Identities:
    """What `_identities` gives when no row says any of it, as most requests do not."""
    return (
        own_keys(defaults.key, defaults.request_id, num_rows=num_rows),
        [defaults.received_at] * num_rows,
        [None] * num_rows,
    )


def _plain(values: Cells, name: str) -> Values:
    return plain_values(values, name=name) if isinstance(values, pa.Array) else values


def _refuse_lengths(values_by_name: Mapping[str, Cells]) -> NoReturn:
    found = [f"{name!r} has {len(values)}" for name, values in values_by_name.items()] or ["there is none"]
    raise MalformedError(
        f"All columns must have the same number of rows, at least 1; got {', '.join(found):.300}. "
        "Send one value a row in each."
    )


def _refuse_absent(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    for index, row in enumerate(rows):
        if name not in row:
            raise ContractError(f"row {index}: column {name!r} is missing; got {sorted(row)}. Send it with every row.")


def _aliases(own: str, general: str, *, taken: Sequence[str]) -> list[str]:
    return [own] if general == own or general in taken else [own, general]


def _first_given(extras: Mapping[str, Values], names: Sequence[str], num_rows: int) -> Values:
    merged: Values = [None] * num_rows
    for name in names:
        if extras[name].count(None) < num_rows:
            merged = [new if old is None else old for old, new in zip(merged, extras[name], strict=True)]
    return merged
