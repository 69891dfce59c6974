"""Other limits of the loop, as a person gives them: `cooldown=1d,max_turns=5,budget=none`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from heliostat.declared.economics import Economics
from heliostat.declared.loop import Loop
from heliostat.errors import ContractError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNITS = {"h": HOUR, "d": DAY}
YES = {"yes": True, "no": False}


def changed(loop: Loop, text: str) -> tuple[Loop, frozenset[str]]:
    """The limits with `cooldown=1d,follow_ups=no,budget=5` changed, and the triggers that `ignore=age+growth` names.

    An empty text changes nothing. ContractError, naming the part, for anything else; WorkloadError for limits that no
    workload may declare.
    """
    ignored: frozenset[str] = frozenset()
    limits: dict[str, Any] = {}
    economics: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, value = part.partition("=")
        if name == "ignore" and value:
            ignored = frozenset(value.split("+"))
        elif name in LIMITS:
            limits[name] = _read(LIMITS[name], value, part=part)
        elif name in ECONOMICS:
            economics[name] = _read(ECONOMICS[name], value, part=part)
        else:
            raise _refused(name, part=part)
    if limits.get("follow_ups") is False:
        limits.setdefault("max_follow_up_rows", None)
    if economics:
        limits["economics"] = _economics(loop.economics, economics)
    return replace(loop, **limits), ignored


def _economics(declared: Economics | None, given: Mapping[str, Any]) -> Economics:
    if declared is not None:
        return replace(declared, **given)
    if not {"value_per_loss", "cost_per_cpu_hour"} <= given.keys():
        raise ContractError(
            "The workload declares no economics; give both value_per_loss=0.01 and cost_per_cpu_hour=0.05, say."
        )
    return Economics(**given)


def _span(value: str) -> timedelta:
    return _whole(value[:-1]) * UNITS[value[-1:]]


def _whole(value: str) -> int:
    if not value.isdigit():
        raise ValueError(value)
    return int(value)


def _finite(value: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: None if value == "none" else read(value)


LIMITS: Mapping[str, Callable[[str], Any]] = {
    "cooldown": _span,
    "max_turns": _or_none(_whole),
    "follow_ups": YES.__getitem__,
    "max_follow_up_rows": _or_none(_whole),
}
ECONOMICS: Mapping[str, Callable[[str], Any]] = {
    "value_per_loss": _finite,
    "cost_per_cpu_hour": _finite,
    "horizon": _span,
    "budget": _or_none(_finite),
    "budget_span": _span,
}


def _read(read: Callable[[str], Any], value: str, *, part: str) -> Any:
    try:
        return read(value)
    except (KeyError, ValueError) as error:
        raise _refused("", part=part) from error


def _refused(name: str, *, part: str) -> ContractError:
    if name in {field.name for field in fields(Loop)}:
        return ContractError(
            f"{part!r} would change what runs and trials find, which the journal cannot tell; declare it, and replay "
            "the period with jobs.replay."
        )
    return ContractError(
        f"{part!r} is not understood; give cooldown=1d (or 12h), max_turns=5, follow_ups=yes or no, "
        "max_follow_up_rows=2000, ignore=age+growth, value_per_loss=0.01, cost_per_cpu_hour=0.05, horizon=30d, "
        "budget=5 or budget_span=30d, joined by commas; none takes a limit away."
    )
