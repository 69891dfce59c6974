"""Any table as a stream: which columns are inputs, what the label means, in which order the rows come."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number
from heliostat.errors import ContractError
from heliostat.simulate.stream import Stream, stream

Values = NDArray[np.float64]
PANDAS_INDEX = "__index_level_"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the named columns are; None: there is none."""

    label: str
    event_time: str | None = None
    label_time: str | None = None
    key: str | None = None

    @property
    def named(self) -> list[str]:
        """The columns that are no inputs."""
        return [name for name in (self.label, self.event_time, self.label_time, self.key) if name is not None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A stream, and in sentences what was done to the table to get it."""

    stream: Stream
    remarks: Sequence[str] = field(default_factory=tuple)


def prepare(table: pa.Table, roles: Roles, *, first: float) -> Prepared:
    """The stream of a table; ContractError, in one sentence, when it cannot be one."""
    _refuse_roles(table, roles, first=first)
    remarks: list[str] = []
    table = pa.table({name: _decoded(table[name]) for name in table.column_names})
    event_at, table = _ordered(table, roles.event_time, remarks)
    labels = _labels(table[roles.label], roles.label, remarks)
    label_at = None if roles.label_time is None else _times(table, roles.label_time)
    if event_at is not None and label_at is not None:
        _refuse_mixed(table, roles)
        remarks.append(_remark_on_delay(event_at, label_at, labels))
    inputs, columns = _inputs(table, roles, remarks)
    made = stream(inputs, columns, labels, first=first, event_at=event_at, label_at=label_at)
    if label_at is not None:
        remarks.append(
            "No column says when a label is due, so a row counts as due when the 95% quantile of the delays seen so "
            "far has passed, or when it is among the older half of the rows: the second may be too early."
        )
    return Prepared(stream=made, remarks=remarks)


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(values.type.value_type) if kinds.is_dictionary(values.type) else values


def _refuse_roles(table: pa.Table, roles: Roles, *, first: float) -> None:
    for name in roles.named:
        if name not in table.column_names:
            raise ContractError(f"The table has no column {name!r}; it has {', '.join(table.column_names)}.")
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise ContractError(f"The table has more than one column {repeated[0]!r}; rename or drop one.")
    twice = sorted({name for name in roles.named if roles.named.count(name) > 1})
    if twice:
        raise ContractError(f"Column {twice[0]!r} is named for two roles; label, times and key must be different ones.")
    if roles.label_time is not None and roles.event_time is None:
        raise ContractError("A label time needs an event time to be compared with; give --event-time too.")
    if not 0 < first < 1:
        raise ContractError(f"The first part must be a share between 0 and 1; got {first}.")


def _ordered(table: pa.Table, event_time: str | None, remarks: list[str]) -> tuple[Values | None, pa.Table]:
    """Event times and rows in their order; rows of one instant stay in file order."""
    if event_time is None:
        return None, table
    event_at = _times(table, event_time)
    is_timed = np.isfinite(event_at)
    if not is_timed.all():
        remarks.append(f"{int((~is_timed).sum()):,} rows without {event_time} were left out.")
    rows = np.flatnonzero(is_timed)
    order = rows[np.argsort(event_at[rows], kind="stable")]
    return event_at[order], table.take(pa.array(order))


def _times(table: pa.Table, name: str) -> Values:
    """Times as numbers: seconds for instants and dates, numbers as they are; NaN where missing."""
    values = table[name]
    try:
        if not _is_number(values.type):
            micros = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
            return np.asarray(pc.divide(micros.cast(pa.float64(), safe=False), 1e6).to_numpy(), np.float64)
        return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"Column {name!r} of type {values.type} cannot be read as a time ({error}); give instants, dates "
            "or numbers."
        ) from error


def _refuse_mixed(table: pa.Table, roles: Roles) -> None:
    assert roles.event_time is not None
    assert roles.label_time is not None
    event, label = table[roles.event_time].type, table[roles.label_time].type
    if _is_number(event) != _is_number(label):
        raise ContractError(
            f"{roles.event_time!r} is {event} and {roles.label_time!r} is {label}: both must be instants, or both "
            "numbers."
        )


def _remark_on_delay(event_at: Values, label_at: Values, labels: Values) -> str:
    delays = (label_at - event_at)[np.isfinite(label_at) & np.isfinite(labels)]
    if not len(delays):
        return "No row has a label and a label time."
    span = max(float(event_at[-1] - event_at[0]), 1e-9)
    return (
        f"Labels come late: half of them after {np.quantile(delays, 0.5) / span:.1%} of the whole time span, "
        f"one in twenty after more than {np.quantile(delays, 0.95) / span:.1%}."
    )


def _labels(values: pa.ChunkedArray, name: str, remarks: list[str]) -> Values:
    if kinds.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    kept = sorted(pc.unique(values.drop_null()).to_pylist(), key=lambda value: (str(type(value)), value))
    if len(kept) != 2:
        shown = ", ".join(map(repr, kept[:4])) + (", ..." if len(kept) > 4 else "")
        raise ContractError(
            f"Label {name!r} has {len(kept):,} different values ({shown}); binary classification needs exactly two."
        )
    if values.null_count:
        remarks.append(f"{values.null_count:,} rows have no label: they are answered, never learned from nor scored.")
    if [float(value) if isinstance(value, int | float) else value for value in kept] != [0.0, 1.0]:
        remarks.append(f"Label {name}: {kept[0]!r} counts as 0 and {kept[1]!r} as 1.")
    is_one = pc.equal(values, pa.scalar(kept[1], values.type))
    return np.asarray(pc.if_else(is_one, 1.0, 0.0).to_numpy(), np.float64)  # null becomes NaN


def _inputs(table: pa.Table, roles: Roles, remarks: list[str]) -> tuple[pa.Table, list[Column]]:
    columns: list[Column] = []
    arrays: list[pa.ChunkedArray] = []
    dropped: dict[str, list[str]] = {}
    for name in table.column_names:
        if name in roles.named:
            continue
        values = table[name]
        if name.startswith(PANDAS_INDEX):
            dropped.setdefault("the row labels of pandas", []).append(name)
        elif _is_number(values.type) or kinds.is_boolean(values.type):
            columns.append(Number(name, low=-np.inf, high=np.inf, optional=True))
            arrays.append(_finite(values))
        elif _is_text(values.type):
            columns.append(Category(name, optional=True))
            arrays.append(values.cast(pa.string()))
        else:
            dropped.setdefault(_why_dropped(values.type), []).append(name)
    remarks += [f"Left out as inputs: {', '.join(names)} ({why})." for why, names in dropped.items()]
    if not columns:
        raise ContractError("No column is left as an input; give a table with at least one number, text or boolean.")
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns]).combine_chunks(), columns


def _finite(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64; what is not finite is missing."""
    narrow = values.cast(pa.int8()) if kinds.is_boolean(values.type) else values
    numbers = narrow.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _why_dropped(kind: pa.DataType) -> str:
    if kinds.is_temporal(kind):
        return "times and dates: turn them into numbers such as the hour if the model should see them"
    return f"{kind} is neither number, text nor boolean"
