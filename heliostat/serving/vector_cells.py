"""Vector columns of a request, checked against the contract as one matrix: lists of numbers, tensors, Arrow arrays."""

from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat import vectors
from heliostat.columns import Vector, Violation
from heliostat.errors import ContractError
from heliostat.serving.cells import Values, refusal

_NUMBERS = frozenset({float, int})
_LISTS = frozenset({list})
_FEW_NUMBERS = 128  # up to here Python's own smallest and largest are quicker than numpy's


def plainly_kept(values: Values, column: Vector) -> pa.Array | None:
    """One vector a row where every row is there and plainly right, which takes one look; None for all others."""
    if not values or not _LISTS.issuperset(map(type, values)) or {column.length} != set(map(len, values)):
        return None
    numbers = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    if not _NUMBERS.issuperset(map(type, numbers)):
        return None
    flat = _few(numbers, column) if len(numbers) <= _FEW_NUMBERS else _many(numbers, column)
    return None if flat is None else vectors.from_flat(pa.array(flat), num_rows=len(values), length=column.length)


def _few(numbers: Values, column: Vector) -> vectors.Matrix | None:
    low, high = column.limits
    # NaN slips through min and max, but not through the sum.
    inside = low <= min(numbers) and max(numbers) <= high and isfinite(sum(numbers))
    return np.array(numbers, np.float32) if inside else None


def _many(numbers: Values, column: Vector) -> vectors.Matrix | None:
    try:
        with np.errstate(over="ignore"):
            flat = np.array(numbers, np.float64).astype(np.float32)
    except OverflowError:
        return None
    low, high = column.limits
    return flat if np.float32(low) <= flat.min() and flat.max() <= np.float32(high) else None


def from_lists(values: Values, column: Vector) -> pa.Array:
    """One vector a row from one list (or None) a row, none of them checked for range; ContractError naming the first
    that is no list of that many numbers.
    """
    if not _is_plain(values, column):
        _refuse_first(values, column)
    present = [value for value in values if value is not None]
    flat = _flat(list(chain.from_iterable(present)), column, values)
    if len(present) == len(values):
        return vectors.from_flat(flat, num_rows=len(values), length=column.length)
    lengths = [0 if value is None else column.length for value in values]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    is_missing = pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=is_missing)


def as_lists(values: pa.Array, column: Vector) -> pa.Array:
    """An Arrow column of numbers in lists, also of fixed size or a tensor, as the contract keeps it; float32 stays
    where it is. ContractError for any other type.
    """
    kind = values.type
    if isinstance(kind, pa.FixedShapeTensorType):
        values, kind = values.storage, values.storage.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    inner = kind.value_type if is_list else pa.null()
    if not pa.types.is_null(kind) and not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
        raise ContractError(
            f"Column {column.name!r} must be lists of {column.length} numbers; got Arrow type {kind!s:.80}."
        )
    return values if kind == vectors.KIND else values.cast(vectors.KIND, safe=False)


def are_all_kept(values: pa.Array, column: Vector) -> bool:
    """Whether every vector is plainly right, told by the lengths, the smallest and the largest number."""
    if values.null_count or not len(values):
        return False
    flat = values.flatten()
    if flat.null_count or len(flat) != len(values) * column.length:
        return False
    if (np.diff(values.offsets.to_numpy()) != column.length).any():
        return False
    numbers = flat.to_numpy()
    low, high = column.limits
    # Of numbers with a NaN among them both ends are NaN, and nothing compares with NaN.
    return bool(np.float32(low) <= numbers.min() and numbers.max() <= np.float32(high))


def _is_plain(values: Values, column: Vector) -> bool:
    present = [value for value in values if value is not None]
    return (
        _LISTS.issuperset(map(type, present))
        and {column.length}.issuperset(map(len, present))
        and _NUMBERS.issuperset(map(type, chain.from_iterable(present)))
    )


def _flat(numbers: list[Any], column: Vector, values: Values) -> pa.Array:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinity, and that is refused
            return pa.array(np.array(numbers, np.float64).astype(np.float32))
    except OverflowError as error:
        row, place = next(
            (row, place)
            for row, value in enumerate(values)
            for place, number in enumerate(value or ())
            if type(number) is int and abs(number) > vectors.LARGEST
        )
        reason = f"must hold finite numbers; component {place} is too large"
        raise _refused(row, column, values[row][place], reason) from error


def _refuse_first(values: Values, column: Vector) -> None:
    wanted = f"must be a list of {column.length} numbers"
    for row, value in enumerate(values):
        if value is None:
            continue
        if type(value) is not list:
            raise _refused(row, column, value, wanted)
        if len(value) != column.length:
            raise _refused(row, column, len(value), f"must have {column.length} numbers")
        for place, number in enumerate(value):
            if type(number) not in _NUMBERS:
                raise _refused(row, column, number, f"{wanted}; component {place} is none")


def _refused(row: int, column: Vector, value: object, reason: str) -> ContractError:
    return ContractError(refusal([Violation(row=row, column=column.name, value=value, reason=reason)]))
