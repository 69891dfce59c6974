"""Which columns of a table are inputs, and as what: numbers, categories, or left out with a reason."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from heliostat.columns import Category, Column, Number
from heliostat.errors import ContractError
from heliostat.watch.profile import OUTPUTS

PANDAS_INDEX = "__index_level_"
TAKEN = OUTPUTS | {"event_at"}  # names that the watching needs for itself


def inputs(table: pa.Table, *, apart: Collection[str], remarks: list[str]) -> tuple[pa.Table, list[Column]]:
    """The inputs in the table's order, every column that is not `apart`; what cannot be one is told in `remarks`."""
    columns: list[Column] = []
    arrays: list[pa.ChunkedArray] = []
    dropped: dict[str, list[str]] = {}
    for name in table.column_names:
        if name in apart:
            continue
        why = _why_dropped(name, table[name])
        if why is not None:
            dropped.setdefault(why, []).append(name)
            continue
        column, values = _input(f"{name} (input)" if name in TAKEN else name, table[name])
        columns.append(column)
        arrays.append(values)
    remarks += [f"Left out as inputs: {', '.join(names)} ({why})." for why, names in dropped.items()]
    if not columns:
        raise ContractError("No column is left as an input; give a table with at least one number, text or boolean.")
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns]).combine_chunks(), columns


def _input(name: str, values: pa.ChunkedArray) -> tuple[Column, pa.ChunkedArray]:
    if is_text(values.type):
        return Category(name, optional=True), values.cast(pa.string())
    return Number(name, low=-np.inf, high=np.inf, optional=True), finite(values)


def finite(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers and booleans as float64; what is not finite is missing."""
    narrow = values.cast(pa.int8()) if kinds.is_boolean(values.type) else values
    numbers = narrow.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def is_number(kind: pa.DataType) -> bool:
    """Whether values of that type are numbers; booleans are not."""
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values of that type are text."""
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _why_dropped(name: str, values: pa.ChunkedArray) -> str | None:
    kind = values.type
    if name.startswith(PANDAS_INDEX):
        return "the row labels of pandas"
    if kinds.is_null(kind):
        return "no value at all"
    if kinds.is_temporal(kind):
        return "times and dates: turn them into numbers such as the hour if the model should see them"
    if is_number(kind) or is_text(kind) or kinds.is_boolean(kind):
        return None
    return f"{kind} is neither number, text nor boolean"
