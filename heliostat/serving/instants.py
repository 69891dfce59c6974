"""Instants as callers write them: ISO 8601 with a zone, read into UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from heliostat.errors import ContractError
from heliostat.ids import EPOCH


def instants(values: Sequence[Any], *, column: str) -> list[datetime | None]:
    """Every value as an instant in UTC, None stays None; ContractError naming the first that is none."""
    if values.count(None) == len(values):
        return list(values)
    # Rows of one request often share their time, and reading it is the dearest part.
    known: dict[str, datetime] = {}
    result: list[datetime | None] = []
    for row, value in enumerate(values):
        if value is None:
            result.append(None)
            continue
        if type(value) is datetime:  # read already, with its zone
            result.append(value)
            continue
        at = known.get(value) if type(value) is str else None
        if at is None:
            at = instant(value, where=f"row {row}: column {column!r}")
            known[value] = at
        result.append(at)
    return result


def instant(value: Any, *, where: str) -> datetime:
    """One instant in UTC; ContractError that begins with `where` when it is none."""
    try:
        # Python's own reader takes digits alone as a date, and then there is no zone.
        at = datetime.fromisoformat(value).astimezone(UTC) if datetime.fromisoformat(value).tzinfo else None
    except (TypeError, ValueError, OverflowError):
        at = None
    # An id has no room for an event before 1970.
    if at is None or at < EPOCH:
        raise ContractError(
            f"{where} must be an ISO 8601 instant with a zone, from 1970 on, "
            f"such as 2013-03-01T14:05:00Z; got {value!r:.80}."
        )
    return at
