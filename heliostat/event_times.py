"""A column of a table read as instants; what is none is told in one sentence, and never taken for another time."""

import pyarrow as pa

from heliostat.errors import ContractError

INSTANT = pa.timestamp("us", tz="UTC")


def instants_of(values: pa.ChunkedArray, *, name: str) -> pa.ChunkedArray:
    """The column in microseconds UTC; ContractError when it holds others.

    A timestamp without a zone is taken for UTC; text has to name its zone. Numbers are refused: nobody can tell seconds
    from milliseconds.
    """
    if pa.types.is_dictionary(values.type):  # as databases and pandas write texts that come again
        values = values.cast(values.type.value_type)
    kind = values.type
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind)
    if not is_time and not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
        raise ContractError(
            f"Column {name!r} must hold instants, as timestamps or text such as 2013-03-01T14:05:00Z; it has the type "
            f"{kind!s:.80}. Cast it first."
        )
    try:
        return values.cast(INSTANT)
    except pa.ArrowInvalid as error:
        first = next(value for value in values if value.is_valid and not _is_instant(value))
        raise ContractError(
            f"Column {name!r} holds {_shown(first)}, which is no {_wanted(first)}; correct it, or leave the row out."
        ) from error


def _is_instant(value: pa.Scalar) -> bool:
    try:
        value.cast(INSTANT)
    except pa.ArrowInvalid:
        return False
    return True


def _wanted(value: pa.Scalar) -> str:
    is_text = pa.types.is_string(value.type) or pa.types.is_large_string(value.type)
    return "instant with a zone, such as 2013-03-01T14:05:00Z" if is_text else "instant that fits microseconds"


def _shown(value: pa.Scalar) -> str:
    if pa.types.is_timestamp(value.type):  # Python's own datetime ends with the year 9999
        return f"{value.value} {value.type.unit} since 1970"
    return f"{value.as_py()!r:.80}"
