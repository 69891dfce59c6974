"""Whether what a user wrote in a declaration is of the kind that each field says; one check for all declarations."""

import math
from collections.abc import Callable, KeysView, Mapping, Sequence, Set, ValuesView
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

    Numbers of numpy become Python's, 1e3 a whole number where one is asked for, and a list, a range or a set (sorted)
    the tuple that is meant. A number must be one: not nan, no truth value.
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
    if origin is Mapping:
        return f"a mapping from {said(arguments[0])} to {said(arguments[1])}"
    return WORDS.get(origin or kind) or str(getattr(origin or kind, "__name__", kind))


def _kind(value: object) -> str:
    if isinstance(value, float | np.floating) and math.isnan(value):
        return "not a number"
    if isinstance(value, tuple | list | Mapping) and value:
        kinds = dict.fromkeys(type(each).__name__ for each in (value.values() if isinstance(value, Mapping) else value))
        return f"of the type {type(value).__name__}, holding {len(value)} ({', '.join(kinds)})"
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
        return _pairs_taken(value, arguments)
    if origin is Callable:
        return value if callable(value) else _MISFIT
    if kind in NUMPY:
        return _number(value, kind)
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return value
    return value if isinstance(value, kind) else _MISFIT


def _number(value: Any, kind: type) -> Any:
    if kind is int and isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    is_truth = isinstance(value, bool | np.bool_)
    if not isinstance(value, NUMPY[kind]) or is_truth != (kind is bool):
        return _MISFIT
    plain = value.item() if isinstance(value, np.generic) else value
    return _MISFIT if isinstance(plain, float) and math.isnan(plain) else plain


def _all_taken(value: Any, arguments: tuple[Any, ...]) -> Any:
    items = _items(value)
    if items is None:
        return _MISFIT
    kinds = arguments if len(arguments) > 1 and arguments[1] is not Ellipsis else (arguments[0],) * len(items)
    if len(kinds) != len(items):
        return _MISFIT
    found = [_taken(each, kind) for each, kind in zip(items, kinds, strict=True)]
    if any(each is _MISFIT for each in found):
        return _MISFIT
    is_same = isinstance(value, tuple) and all(one is other for one, other in zip(items, found, strict=True))
    return value if is_same else tuple(found)


def _pairs_taken(value: Any, arguments: tuple[Any, Any]) -> Any:
    if not isinstance(value, Mapping):
        return _MISFIT
    found = {name: _taken(each, arguments[1]) for name, each in value.items()}
    if any(each is _MISFIT for each in [*found.values(), *(_taken(name, arguments[0]) for name in value)]):
        return _MISFIT
    return value if all(found[name] is each for name, each in value.items()) else found


def _items(value: Any) -> Sequence[Any] | None:
    """What a collection holds, in an order that is the same in every process; None for a text and what is none."""
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim == 1 else None
    if isinstance(value, Sequence | KeysView | ValuesView):
        return None if isinstance(value, str | bytes) else list(value)
    try:
        return sorted(value) if isinstance(value, Set) else None
    except TypeError:
        return None
