"""Prediction ids: UUIDs of version 7 (RFC 9562) with the event's time, so a late label finds its day from the id."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# One hash gives the bits of so many rows: a row's are where its number says, however many are asked for at once.
_BLOCK_ROWS = 4096
_DIGITS = 20  # hexadecimal ones a row: 80 bits, of which version and variant take six
_FEW_ROWS = 8
# Variant 2 in the two highest bits of a digit, whatever stood there.
_VARIANT = {digit: f"{int(digit, 16) & 0x3 | 0x8:x}" for digit in "0123456789abcdef"}
_VARIANT_BYTES = np.frombuffer(bytes(ord(_VARIANT.get(chr(byte), "0")) for byte in range(256)), np.uint8)


def scoped(caller: str, request_id: str) -> str:
    """The request id as the caller's alone: no two pairs give the same text, whatever stands in them.

    A name with a slash is quoted behind a slash of its own, with which no other text begins.
    """
    return f"{caller}/{request_id}" if "/" not in caller else f"/{quote(caller, safe='')}/{request_id}"


def prediction_id(request_id: str, row: int, *, event_at: datetime) -> str:
    """The id of one row of one request: the same three always give the same id, so a repeated request adds nothing."""
    return prediction_ids(request_id, [event_at], first_row=row)[0]


def prediction_ids(request_id: str, event_at: Sequence[datetime], *, first_row: int = 0) -> list[str]:
    """`prediction_id` of each row from `first_row` on, all made together: a tenth of a microsecond each."""
    if len(event_at) == 1 and not first_row:  # what is asked most, without what only several rows need
        return [_id(_head(event_at[0]), hashlib.shake_128(f"{request_id}/0".encode()).hexdigest(_DIGITS // 2))]
    heads = _heads(event_at)
    digits = _digits(request_id, first_row, len(event_at))
    if len(event_at) <= _FEW_ROWS:
        return [_id(head, digits[_DIGITS * row : _DIGITS * (row + 1)]) for row, head in enumerate(heads)]
    text = _text(heads, digits).tobytes().decode()
    return [text[start : start + 36] for start in range(0, len(text), 36)]


def _heads(event_at: Sequence[datetime]) -> list[str]:
    if len(event_at) > 1 and event_at.count(event_at[0]) == len(event_at):  # as the rows of one request mostly are
        return [_head(event_at[0])] * len(event_at)
    return [_head(at) for at in event_at]


def _head(event_at: datetime) -> str:
    """The 48 bits of time and the version."""
    time = f"{(event_at - EPOCH) // _MILLISECOND & (1 << 48) - 1:012x}"
    return f"{time[:8]}-{time[8:]}-7"


def _digits(request_id: str, first_row: int, num_rows: int) -> str:
    """The hexadecimal digits of so many rows, one row after the other."""
    end_row = first_row + num_rows
    parts: list[str] = []
    for block in range(first_row // _BLOCK_ROWS, -(-end_row // _BLOCK_ROWS)):
        begins = block * _BLOCK_ROWS
        hashed = hashlib.shake_128(f"{request_id}/{block}".encode())
        # What it gives for fewer rows is how that for more rows begins.
        digest = hashed.hexdigest(_DIGITS // 2 * min(_BLOCK_ROWS, end_row - begins))
        parts.append(digest[_DIGITS * max(0, first_row - begins) :])
    return "".join(parts)


def _id(head: str, digits: str) -> str:
    """A UUID whose 74 bits behind the time are the digits', less what version and variant take of their 80."""
    return f"{head}{digits[1:4]}-{_VARIANT[digits[4]]}{digits[5:8]}-{digits[8:]}"


def _text(heads: Sequence[str], digits: str) -> NDArray[np.uint8]:
    """`_id` of many rows, 36 bytes each."""
    hashed = np.frombuffer(digits.encode(), np.uint8).reshape(-1, _DIGITS)
    ids = np.full((len(heads), 36), ord("-"), np.uint8)
    ids[:, :15] = np.frombuffer("".join(heads).encode(), np.uint8).reshape(-1, 15)
    ids[:, 15:18] = hashed[:, 1:4]
    ids[:, 19] = _VARIANT_BYTES[hashed[:, 4]]
    ids[:, 20:23] = hashed[:, 5:8]
    ids[:, 24:] = hashed[:, 8:]
    return ids


def event_time(identifier: str) -> datetime:
    """The event time inside a prediction id, to the millisecond; ValueError when it is not such an id."""
    value = uuid.UUID(identifier)
    if value.version != 7:
        raise ValueError(f"{identifier!r} is not a prediction id: its UUID version is {value.version}, not 7.")
    return EPOCH + timedelta(milliseconds=value.int >> 80)
