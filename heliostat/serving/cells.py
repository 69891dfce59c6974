"""One column of a request checked against the contract.

All numbers together, or a column, are accepted by what Python and numpy do in C (types, smallest, largest):
microseconds. What this does not accept is looked at again by `heliostat.columns`, which alone decides and words the
refusal.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite, isnan
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import WORDS, Category, Column, Number, Text, Violation, violations
from heliostat.errors import ContractError

Values = list[Any]
_SHOWN = 3
_NUMBERS = frozenset({float, int})
_FLOATS = frozenset({float})
_TEXTS = frozenset({str})


class NumberBlock:
    """The number columns of a contract, accepted all at once: for one row of many columns a third of the work."""

    def __init__(self, columns: Sequence[Column]) -> None:
        numbers = [column for column in columns if isinstance(column, Number)]
        self._names = [column.name for column in numbers]
        self._low = np.array([[column.low] for column in numbers], np.float64)
        self._high = np.array([[column.high] for column in numbers], np.float64)

    def accepted(self, values_by_name: Mapping[str, Any], *, num_rows: int) -> dict[str, Values]:
        """Every number column as floats; empty when a single cell is not plainly right, or a column is no list."""
        columns = [values_by_name[name] for name in self._names]
        if not columns or set(map(type, columns)) != {list}:
            return {}
        cells = list(chain.from_iterable(columns))
        if not _NUMBERS.issuperset(map(type, cells)):
            return {}
        try:
            matrix = np.array(cells, np.float64).reshape(len(columns), num_rows)
        except OverflowError:
            return {}
        # NaN is in no range; infinity may be, and is no number of a row.
        inside = (matrix >= self._low) & (matrix <= self._high) & np.isfinite(matrix)
        return dict(zip(self._names, matrix.tolist(), strict=True)) if inside.all() else {}


def checked(values: Values, column: Number | Category | Text) -> Values:
    """The values as the contract keeps them (numbers as float); ContractError naming the first that breaks it."""
    fast = _fast_number(values, column) if isinstance(column, Number) else _fast_text(values, column)
    return fast if fast is not None else _slow(values, column)


def _fast_number(values: Values, column: Number) -> Values | None:
    kinds = set(map(type, values))
    if not kinds <= _NUMBERS:
        return None
    try:
        floats = values if kinds == _FLOATS else list(map(float, values))
    except OverflowError:
        return None
    # NaN slips through min and max, but not through the sum.
    inside = column.low <= min(floats) and max(floats) <= column.high and isfinite(sum(floats))
    return floats if inside else None


def _fast_text(values: Values, column: Category | Text) -> Values | None:
    if set(map(type, values)) != _TEXTS:
        return None
    if isinstance(column, Text):
        return values if max(map(len, values)) <= column.max_length else None
    return values if column.closed is None or set(values).issubset(column.closed) else None


def _slow(values: Values, column: Number | Category | Text) -> Values:
    wanted, words = _NUMBERS if isinstance(column, Number) else _TEXTS, WORDS[type(column)]
    for index, value in enumerate(values):
        if value is not None and type(value) not in wanted:
            raise ContractError(refusal([_violation(index, column, value, f"must be {words}")]))
    array = pa.array(_floats(values, column) if isinstance(column, Number) else values, column.arrow_type)
    broken = violations(pa.table({column.name: pa.chunked_array([array])}), [column])
    if broken:
        raise ContractError(refusal(sorted(broken, key=lambda violation: violation.row)))
    return list(array.to_pylist())


def _floats(values: Values, column: Number) -> list[float | None]:
    floats: list[float | None] = []
    for index, value in enumerate(values):
        try:
            number = None if value is None else float(value)
        except OverflowError as error:
            raise ContractError(refusal([_violation(index, column, value, "is too large for a number")])) from error
        floats.append(None if number is None or isnan(number) else number)  # NaN is how some say missing
    return floats


def _violation(row: int, column: Column, value: object, reason: str) -> Violation:
    return Violation(row=row, column=column.name, value=value, reason=reason)


def refusal(broken: Sequence[Violation]) -> str:
    """What a caller is told of the cells that break the contract: the first ones, and how many more."""
    shown = "; ".join(f"{violation!s:.300}" for violation in broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return f"{shown}{more}. Correct the value, or leave the row out."
