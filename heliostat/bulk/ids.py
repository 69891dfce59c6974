"""Ids of rows scored in bulk: prediction ids that say which run made them, and where in its input the row stood.

A UUID of version 7 like every prediction id; behind the event's milliseconds it holds 20 bits of the run's hash, then
the number of the input's part and of the row in it. So nothing has to be hashed a row, no two rows of a run share
an id, and who is given an id need not search every run.
"""

import hashlib
import uuid
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TAG_BITS, PART_BITS, ROW_BITS = 20, 22, 32
_TAG_LOW_BITS = 8  # the other 12 stand before the variant
_HEX = np.frombuffer("".join(f"{value:02x}" for value in range(256)).encode(), np.uint8).reshape(256, 2)
_DASHES = (8, 13, 18, 23)
_LENGTH = 36
_DIGITS = np.array([place for place in range(_LENGTH) if place not in _DASHES])


def scored_ids(run_id: str, *, part: int, rows: NDArray[np.int64], event_at: pa.Array) -> pa.Array:
    """One id a row, of shape (num_rows,); `rows` are the numbers in the part, `event_at` timestamps in microseconds."""
    tag = run_tag(run_id)
    milliseconds = (np.asarray(event_at.cast(pa.int64())) // 1000).astype(np.uint64)
    high = milliseconds << np.uint64(16) | np.uint64(7 << 12 | tag >> _TAG_LOW_BITS)
    low_tag = tag & (1 << _TAG_LOW_BITS) - 1
    fixed = 0b10 << 62 | low_tag << (PART_BITS + ROW_BITS) | part << ROW_BITS
    low = rows.astype(np.uint64) | np.uint64(fixed)
    return _texts(high, low)


def run_tag(run_id: str) -> int:
    """The 20 bits of a run that stand in its ids."""
    return int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=4).digest()) >> 32 - TAG_BITS


def tag_of(identifier: str) -> int:
    """The 20 bits where a scored row's id holds its run; any prediction id has some. ValueError when it is no id."""
    value = uuid.UUID(identifier).int
    return (value >> 64 & 0xFFF) << _TAG_LOW_BITS | value >> (PART_BITS + ROW_BITS) & (1 << _TAG_LOW_BITS) - 1


def default_event_at(started_at: datetime) -> datetime:
    """When an event took place whose row does not say it: to the millisecond, which is what an id keeps."""
    return started_at.astimezone(UTC).replace(microsecond=started_at.microsecond // 1000 * 1000)


def _texts(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> pa.Array:
    """The ids as text: a loop over UUID objects would cost more than the model."""
    num_rows = len(high)
    octets = np.stack([high, low], axis=1).astype(">u8").view(np.uint8).reshape(num_rows, 16)
    text = np.full((num_rows, _LENGTH), ord("-"), np.uint8)
    text[:, _DIGITS] = _HEX[octets].reshape(num_rows, 32)
    offsets = np.arange(num_rows + 1, dtype=np.int32) * _LENGTH
    return pa.StringArray.from_buffers(num_rows, pa.py_buffer(offsets), pa.py_buffer(text))
