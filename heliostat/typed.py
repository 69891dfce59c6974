"""Whether what a user wrote in a declaration is of the kind that each field says; one check for all declarations."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from datetime import date, datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from heliostat.errors import WorkloadError

WORDS: dict[object, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    timedelta: "a timedelta",
    datetime: "a datetime",
    NoneType: "None",
    Callable: "a function",
}
NUMPY: dict[type, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
    str: (str,),
    timedelta: (timedelta,),
    datetime: (datetime,),
    date: (date,),
}
_MISFIT = object()


def refuse_wrong_types(declared: Any) -> None:
    """WorkloadError with the first field of a declaration that holds another kind of value than it is annotated with.

    Numbers of numpy become Python's, and a list the tuple that is meant. A number must be one: not nan, no truth value.
    """
    for each in fields(declared):
        value = getattr(declared, each.name)
        taken = _taken(value, each.type)
        if taken is _MISFIT:
            raise WorkloadError(
                f"{type(declared).__name__}({each.name}={value!r}): {each.name} takes {said(each.type)}, and this is "
                f"{_kind(value)}; give one{_or_leave_out(each)}."
            )
        if taken is not value:
            object.__setattr__(declared, each.name, taken)


def said(kind: Any) -> str:
    """What an annotation asks for, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(said, arguments)))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"({', '.join(map(said, arguments))})"
    if origin in (tuple, Sequence):
        return f"a tuple, each of it {said(arguments[0])}"
    return WORDS.get(origin or kind) or str(getattr(origin or kind, "__name__", kind))


def _kind(value: object) -> str:
    if isinstance(value, float | np.floating) and math.isnan(value):
        return "not a number"
    return f"of the type {type(value).__name__}"


def _or_leave_out(each: Field[Any]) -> str:
    return "" if each.default is MISSING or callable(each.default) else f", or leave it out for {each.default!r}"


def _taken(value: Any, kind: Any) -> Any:  # noqa: PLR0911 (a return for each sort of annotation)
    """The value as the field holds it, or _MISFIT; annotations that say nothing which can be checked take all."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        found = (_taken(value, each) for each in arguments)
        return next((each for each in found if each is not _MISFIT), _MISFIT)
    if origin is Literal:
        return value if value in arguments else _MISFIT
    if origin in (tuple, Sequence):
        return _all_taken(value, arguments)
    if origin is Mapping:
        return value if isinstance(value, Mapping) else _MISFIT
    if origin is Callable:
        return value if callable(value) else _MISFIT
    if kind in NUMPY:
        return _number(value, kind)
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return value
    return value if isinstance(value, kind) else _MISFIT


def _number(value: Any, kind: type) -> Any:
    is_truth = isinstance(value, bool | np.bool_)
    if not isinstance(value, NUMPY[kind]) or is_truth != (kind is bool):
        return _MISFIT
    plain = value.item() if isinstance(value, np.generic) else value
    return _MISFIT if isinstance(plain, float) and math.isnan(plain) else plain


def _all_taken(value: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, tuple | list):
        return _MISFIT
    kinds = arguments if len(arguments) > 1 and arguments[1] is not Ellipsis else (arguments[0],) * len(value)
    if len(kinds) != len(value):
        return _MISFIT
    found = [_taken(each, kind) for each, kind in zip(value, kinds, strict=True)]
    if any(each is _MISFIT for each in found):
        return _MISFIT
    is_same = isinstance(value, tuple) and all(one is other for one, other in zip(value, found, strict=True))
    return value if is_same else tuple(found)
