"""Vectors as they travel: an Arrow list of float32 a row, and all rows as one matrix without a copy.

Lists of any length, because a row of another length must be told from the others, and because Delta knows no other.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

KIND = pa.list_(pa.float32())
LARGEST = float(np.finfo(np.float32).max)


def from_matrix(matrix: Matrix) -> pa.Array:
    """One list a row, a view of the matrix where that is one block of float32."""
    num_rows, length = matrix.shape
    flat = pa.array(np.ascontiguousarray(matrix, np.float32).reshape(-1))
    return from_flat(flat, num_rows=num_rows, length=length)


def from_flat(values: pa.Array, *, num_rows: int, length: int) -> pa.Array:
    """One list a row of numbers that lie row after row; of float32 they are not copied."""
    numbers = values if values.type == KIND.value_type else values.cast(KIND.value_type, safe=False)
    return pa.ListArray.from_arrays(_offsets(num_rows, length), numbers)


@lru_cache(maxsize=256)
def _offsets(num_rows: int, length: int) -> pa.Array:
    return pa.array(np.arange(num_rows + 1, dtype=np.int32) * np.int32(length))


def to_matrix(values: pa.ChunkedArray | pa.Array, *, length: int) -> Matrix:
    """Shape (num_rows, length): a view where no row is null and all lie in one chunk; a null row is NaN throughout.

    Every list must have this length and no null inside, as those that keep the contract do.
    """
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    parts = [_chunk_matrix(chunk, length) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, length), np.float32), *parts])


def sort_keys(values: pa.ChunkedArray, *, length: int) -> pa.Array:
    """What to sort rows of vectors by, where any fixed order will do: equal for equal vectors alone."""
    matrix = np.ascontiguousarray(to_matrix(values, length=length))
    kind = pa.binary(matrix.itemsize * length)
    return pa.Array.from_buffers(kind, len(matrix), [None, pa.py_buffer(matrix)])


def widest(values: pa.ChunkedArray) -> int:
    """How many numbers the longest vector has, at least 1: the length of a column whose declaration is not at hand."""
    return max(1, pc.max(pc.list_value_length(values)).as_py() or 0)


def _chunk_matrix(chunk: pa.ListArray, length: int) -> Matrix:
    if not chunk.null_count and not chunk.offset and len(chunk.values) == len(chunk) * length:
        # What `flatten` gives here, for a tenth of the time.
        whole: Matrix = chunk.values.to_numpy().reshape(-1, length)
        return whole
    flat: Matrix = chunk.flatten().to_numpy().reshape(-1, length)
    if not chunk.null_count:
        return flat
    matrix = np.full((len(chunk), length), np.nan, np.float32)
    matrix[chunk.is_valid().to_numpy(zero_copy_only=False)] = flat
    return matrix


def faults(values: pa.ChunkedArray, *, length: int, low: float, high: float) -> Iterator[tuple[int, object, str]]:
    """(row, what it holds, what it must be) of each vector that is wrong, told by its first wrong component."""
    row = 0
    for chunk in values.chunks:
        if chunk.null_count == len(chunk):
            row += len(chunk)
            continue
        yield from ((row + place, value, reason) for place, value, reason in _chunk_faults(chunk, length, low, high))
        row += len(chunk)


def _chunk_faults(chunk: pa.ListArray, length: int, low: float, high: float) -> Iterator[tuple[int, object, str]]:
    places = np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
    lengths = pc.list_value_length(chunk.drop_null()).to_numpy()
    is_right = lengths == length
    for place, found in zip(places[~is_right].tolist(), lengths[~is_right].tolist(), strict=True):
        yield place, found, f"must have {length} numbers"
    if not is_right.all():
        places, chunk = places[is_right], chunk.take(pa.array(places[is_right]))
    flat = chunk.flatten()
    # A null becomes NaN here, and is refused as one.
    matrix = flat.to_numpy(zero_copy_only=not flat.null_count).reshape(-1, length)
    least, most = np.float32(max(low, -LARGEST)), np.float32(min(high, LARGEST))
    inside = (matrix >= least) & (matrix <= most)
    for at in np.flatnonzero(~inside.all(axis=1)).tolist():
        component = int(np.argmin(inside[at]))
        value = float(matrix[at, component])
        yield places[at].item(), value, _reason(component, value, low=low, high=high)


def _reason(component: int, value: float, *, low: float, high: float) -> str:
    if not np.isfinite(value):
        return f"must hold finite numbers; component {component} is none"
    return f"must hold numbers between {low} and {high}; component {component} is outside"
