"""Prediction ids: UUIDs of version 7 (RFC 9562) with the event's time, so a late label finds its day from the id."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def prediction_id(request_id: str, row: int, *, event_at: datetime) -> str:
    """The id of one row of one request: the same three always give the same id, so a repeated request adds nothing."""
    milliseconds = (event_at - EPOCH) // timedelta(milliseconds=1)
    digest = hashlib.blake2b(f"{request_id}/{row}".encode(), digest_size=10).digest()
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(digest)
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0x3 << 62) | 2 << 62  # variant
    return str(uuid.UUID(int=value))


def event_time(identifier: str) -> datetime:
    """The event time inside a prediction id, to the millisecond; ValueError when it is not such an id."""
    value = uuid.UUID(identifier)
    if value.version != 7:
        raise ValueError(f"{identifier!r} is not a prediction id: its UUID version is {value.version}, not 7.")
    return EPOCH + timedelta(milliseconds=value.int >> 80)
