"""One column of a request, checked against the contract; what came as an Arrow array does not leave Arrow."""

import sys
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import Column, Number, Vector, normalise, violations
from heliostat.errors import ContractError
from heliostat.serving import vector_cells
from heliostat.serving.cells import Values, checked, refusal

# So many rows are checked at once, so that a table that is wrong everywhere costs no object a cell.
_SLICE_ROWS = 4096
LARGEST = sys.float_info.max
_LATEST = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
_INSTANT = pa.timestamp("us", tz="UTC")


def kept(values: Values | pa.Array, column: Column) -> Values | pa.Array:
    """A column as the contract keeps it, vectors always as an Arrow array; ContractError naming the first broken."""
    if isinstance(values, pa.Array):
        return checked_array(values, column)
    if isinstance(column, Vector):
        plain = vector_cells.plainly_kept(values, column)
        return checked_array(vector_cells.from_lists(values, column), column) if plain is None else plain
    return checked(values, column)


def checked_array(values: pa.Array, column: Column) -> pa.Array:
    """The values as the contract keeps them, the same array when they are already; ContractError naming the first."""
    if isinstance(column, Vector):
        lists = vector_cells.as_lists(values, column)
        return lists if vector_cells.are_all_kept(lists, column) else _without_broken(lists, column)
    quickly = _quickly_kept(values, column) if isinstance(column, Number) else None
    if quickly is not None:
        return quickly
    return _without_broken(values if _fits(values, column) else _cast(values, column), column)


def _without_broken(values: pa.Array, column: Column) -> pa.Array:
    for start in range(0, len(values), _SLICE_ROWS):
        broken = violations(pa.table({column.name: values.slice(start, _SLICE_ROWS)}), [column])
        if broken:
            first = sorted(broken, key=lambda violation: violation.row)
            raise ContractError(refusal([replace(violation, row=violation.row + start) for violation in first]))
    return values


def plain_values(values: pa.Array, *, name: str) -> list[Any]:
    """Text as str and instants as aware datetime, for keys and times; ContractError for any other type."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return list(values.to_pylist())
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        raise ContractError(f"Column {name!r} must be text or timestamps with a zone; got {kind!s:.80}.")
    try:
        # Of nanoseconds the digits behind microseconds go, as those of a text do; no other unit has any.
        instants = values.cast(_INSTANT, safe=kind.unit != "ns")
    except pa.ArrowInvalid as error:
        raise ContractError(
            f"Column {name!r} has an instant that does not lie from 1970 to 9999; correct it, or leave it out."
        ) from error
    latest = pc.max(instants.cast(pa.int64())).as_py()
    if latest is not None and latest > _LATEST.timestamp() * 1e6:
        raise ContractError(f"Column {name!r} has an instant after {_LATEST.date()}; correct it, or leave it out.")
    earliest = pc.min(instants.cast(pa.int64())).as_py()
    if earliest is not None and earliest < 0:
        raise ContractError(f"Column {name!r} has an instant before 1970; correct it, or leave it out.")
    return list(instants.to_pylist())


def _quickly_kept(values: pa.Array, column: Number) -> pa.Array | None:
    """Numbers that are all there and inside the range, told by their smallest and largest; None for all others."""
    if not pa.types.is_floating(values.type) or values.null_count or not len(values):
        return None
    kept = values.cast(pa.float64())
    numbers = kept.to_numpy()
    # Of values with a NaN among them both ends are NaN, and nothing compares with NaN.
    low, high = max(column.low, -LARGEST), min(column.high, LARGEST)  # where a range has no end, infinity is outside
    return kept if low <= numbers.min() and numbers.max() <= high else None


def _fits(values: pa.Array, column: Column) -> bool:
    if values.type != column.arrow_type:
        return False
    return not isinstance(column, Number) or not pc.any(pc.is_nan(values)).as_py()


def _cast(values: pa.Array, column: Column) -> pa.Array:
    kind = values.type
    if isinstance(column, Number):
        is_right = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    else:
        is_right = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    if not is_right:
        wanted = "a number" if isinstance(column, Number) else "text"
        raise ContractError(f"Column {column.name!r} must be {wanted}; got Arrow type {kind!s:.80}.")
    array = normalise(pa.table({column.name: values}), [column]).column(0)
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
