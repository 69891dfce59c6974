"""Filters of rows as plain values, so that callers need no library for them."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow.compute as pc

from heliostat.errors import LakeError

Filter = tuple[str, str, object]
"""Column, one of = == != < <= > >= in is, and the value to compare with; `is` goes with None alone."""

OPERATOR_BY_NAME: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda field, values: field.isin(values),
    "is": lambda field, _: field.is_null(),
}


def expression(where: Sequence[Filter]) -> pc.Expression | None:
    """What a row must meet: every filter; None when there is none."""
    whole = None
    for column, name, value in where:
        if name not in OPERATOR_BY_NAME:
            raise LakeError(f"Unknown comparison {name!r} in a filter; use one of {' '.join(OPERATOR_BY_NAME)}.")
        comparison = OPERATOR_BY_NAME[name](pc.field(column), value)
        whole = comparison if whole is None else whole & comparison
    return whole


def partition_filters(where: Sequence[Filter], partition: str) -> list[tuple[str, str, str]] | None:
    """The filters that leave out the files of other partitions, as deltalake takes them; None when there is none."""
    chosen = [
        (column, "=" if name == "==" else name, value.isoformat())
        for column, name, value in where
        if column == partition and name not in ("in", "is") and type(value) is date
    ]
    return chosen or None
