"""One spelling of a value as JSON, so that equal values have equal hashes."""

import json
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from heliostat.errors import CatalogError


def canonical_json(value: object) -> str:
    """The value as JSON with sorted keys and no spaces; instants and dates in ISO 8601, NaN refused."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise CatalogError(
            f"The catalog stores JSON, and {value!r} is not ({error}). Give text, finite numbers, "
            "None, instants, lists and dicts of them."
        ) from error


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no JSON")


class JsonText(TypeDecorator[Any]):
    """A column of canonical JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        """None stays null."""
        return None if value is None else canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value that was stored."""
        return None if value is None else json.loads(value)


class Instant(TypeDecorator[datetime]):
    """A column of instants as ISO 8601 text in UTC, which sorts by time in every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """An instant without a time zone is refused."""
        return None if value is None else instant_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """The instant, timezone-aware."""
        return None if value is None else datetime.fromisoformat(value)


def instant_text(value: datetime) -> str:
    """The instant in UTC to the microsecond, always of the same length."""
    if value.utcoffset() is None:
        raise CatalogError(f"The catalog stores instants in UTC; got {value!r} without a time zone. Use datetime.UTC.")
    return value.astimezone(UTC).isoformat(timespec="microseconds")
