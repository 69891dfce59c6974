"""Any table as a stream: its columns' roles, the rows in order, the label and the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from heliostat.errors import ContractError
from heliostat.simulate.decoding import decoded
from heliostat.simulate.inputs import inputs
from heliostat.simulate.labels import Asked, labels
from heliostat.simulate.stream import Stream, stream
from heliostat.simulate.times import ordered, refuse_mixed, remarks_on_delays, times
from heliostat.tasks import Task

MAX_CELLS = 4_000_000  # rows by columns by trees: more would take longer than anybody waits
MIN_COLUMNS = 10
MIN_PLAYABLE_ROWS = 20_000
MAX_SHOWN = 20  # names of columns in a sentence


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the named columns are; None: there is none."""

    label: str
    task: Asked = "classification"
    event_time: str | None = None
    label_time: str | None = None
    due_time: str | None = None
    key: str | None = None

    @property
    def named(self) -> list[str]:
        """The columns that are no inputs."""
        found = (self.label, self.event_time, self.label_time, self.due_time, self.key)
        return [name for name in found if name is not None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A stream, and in sentences what was done to the table to get it."""

    stream: Stream
    remarks: Sequence[str] = field(default_factory=tuple)


def prepare(table: pa.Table, roles: Roles, *, first: float, max_rows: int | None = None) -> Prepared:
    """The stream of a table; ContractError, in one sentence, when it cannot be one.

    Of a table with more than `max_rows` rows so many are taken, evenly over time; None takes what can be played in
    minutes, 0 all.
    """
    _refuse_roles(table, roles, first=first)
    if max_rows is not None and max_rows < 0:
        raise ContractError(f"--max-rows must be a number of rows, or 0 to play all; got {max_rows}.")
    remarks: list[str] = []
    table = decoded(table, apart=roles.named, remarks=remarks)
    event_at, table = ordered(table, roles.event_time, remarks)
    _, task = labels(table[roles.label], roles.label, asked=roles.task, remarks=[])
    limit = _playable_rows(len(table.column_names), task) if max_rows is None else max_rows
    kept = _kept_rows(table.num_rows, limit, remarks)
    event_at, table = None if event_at is None else event_at[kept], table.take(pa.array(kept))
    found, task = labels(table[roles.label], roles.label, asked=roles.task, remarks=remarks)
    _remark_on_keys(table, roles.key, remarks)
    later = [name for name in (roles.label_time, roles.due_time) if name is not None]
    for later_time in later:
        refuse_mixed(table, str(roles.event_time), later_time, remarks)
    if event_at is not None and event_at[0] == event_at[-1]:
        remarks.append(f"All rows have the same {roles.event_time}: they are played in file order.")
    label_at, due_at = (None if name is None else times(table, name) for name in (roles.label_time, roles.due_time))
    told_at = due_at if label_at is None else label_at
    if event_at is not None and told_at is not None:
        remarks += remarks_on_delays(event_at, told_at, found)
    rows, columns = inputs(table, apart=roles.named, remarks=remarks)
    made = stream(rows, columns, found, first=first, event_at=event_at, label_at=label_at, due_at=due_at, task=task)
    if made.first_rows > round(first * made.num_rows) + made.step_rows:
        remarks.append(
            f"The first part was made longer ({made.first_rows / made.num_rows:.0%} of the rows): before that too few "
            "labels are known and due to learn from."
        )
    if due_at is not None and label_at is None:
        remarks.append(f"No column says when a label became known: each counts as known at its {roles.due_time}.")
    if label_at is not None and due_at is None:
        remarks.append(
            "No column says when a label is due, so a row counts as due when the 95% quantile of the delays seen so "
            "far has passed (where more rows never get a label: of the labels that come at all), or when it is among "
            "the older half of the rows: the last may be too early."
        )
    return Prepared(stream=made, remarks=remarks)


def _refuse_roles(table: pa.Table, roles: Roles, *, first: float) -> None:
    for name in roles.named:
        if name not in table.column_names:
            raise ContractError(f"The table has no column {name!r}; it has {_shown(table.column_names)}.")
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise ContractError(f"The table has more than one column {repeated[0]!r}; rename or drop one.")
    twice = sorted({name for name in roles.named if roles.named.count(name) > 1})
    if twice:
        raise ContractError(f"Column {twice[0]!r} is named for two roles; label, times and key must be different ones.")
    for option, later_time in (("label", roles.label_time), ("due", roles.due_time)):
        if later_time is not None and roles.event_time is None:
            raise ContractError(f"A {option} time needs an event time to be compared with; give --event-time too.")
    if not 0 < first < 1:
        raise ContractError(f"The first part must be a share between 0 and 1; got {first}.")


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(map(repr, names[:MAX_SHOWN])) + more


def _playable_rows(num_columns: int, task: Task) -> int:
    """Boosted trees take a tree for each of more than two classes."""
    num_trees = task.shape[0] if task.kind == "classes" else 1
    return max(MIN_PLAYABLE_ROWS, MAX_CELLS // (max(num_columns, MIN_COLUMNS) * num_trees))


def _kept_rows(num_rows: int, max_rows: int, remarks: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if not max_rows or num_rows <= max_rows:
        return np.arange(num_rows)
    kept = np.linspace(0, num_rows - 1, max_rows).astype(np.int64)
    remarks.append(
        f"{max_rows:,} of the {num_rows:,} rows were played, evenly chosen: with all of them every policy has more to "
        "learn from (--max-rows 0 plays all)."
    )
    return kept


def _remark_on_keys(table: pa.Table, key: str | None, remarks: list[str]) -> None:
    if key is None:
        return
    if kinds.is_nested(table[key].type):
        raise ContractError(f"Key {key!r} is {table[key].type}; a key must be one plain value.")
    known = table[key].drop_null()
    num_repeated = len(known) - int(pc.count_distinct(known).as_py()) if len(known) else 0
    if num_repeated:
        remarks.append(f"{num_repeated:,} rows repeat the {key} of another row: each is played as a row of its own.")
    if len(known) < table.num_rows:
        remarks.append(f"{table.num_rows - len(known):,} rows have no {key}: they are played all the same.")
