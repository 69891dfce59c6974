"""The rows of several requests as Arrow arrays, one a column."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import Column, Number
from heliostat.serving.rows import Cells, Rows


def arrays_of(rows: Sequence[Rows], columns: Sequence[Column]) -> dict[str, pa.Array]:
    """Every column of all rows, request after request; an array that is there already, and alone, is not copied."""
    parts_by_name = {column.name: [each.values_by_column[column.name] for each in rows] for column in columns}
    plain = {
        column.name: _joined(parts_by_name[column.name])
        for column in columns
        if isinstance(column, Number) and not any(isinstance(part, pa.Array) for part in parts_by_name[column.name])
    }
    numbers = _numbers(plain)
    return {
        column.name: numbers[column.name] if column.name in numbers else _array(parts_by_name[column.name], column)
        for column in columns
    }


def _numbers(values_by_name: dict[str, list[Any]]) -> dict[str, pa.Array]:
    """The columns without a missing value, all made at once: one conversion costs as much as one for each would."""
    matrix = np.array(list(values_by_name.values()), np.float64)
    if not matrix.size:
        return {}
    num_rows = matrix.shape[1]
    array = pa.array(matrix.ravel())
    # A missing value has become NaN, and no other value can be: rows are checked.
    is_whole = np.logical_not(np.isnan(matrix).any(axis=1)).tolist()
    return {
        name: array.slice(index * num_rows, num_rows) for index, name in enumerate(values_by_name) if is_whole[index]
    }


def _array(parts: Sequence[Cells], column: Column) -> pa.Array:
    if not any(isinstance(part, pa.Array) for part in parts):
        return pa.array(_joined(parts), column.arrow_type)
    arrays = [part if isinstance(part, pa.Array) else pa.array(part, column.arrow_type) for part in parts]
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _joined(parts: Sequence[Any]) -> list[Any]:
    return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
