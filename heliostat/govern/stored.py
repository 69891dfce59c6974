"""How the loop's records are stored: plain JSON values that come back equal."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from heliostat.govern.commands import (
    Command,
    Declined,
    Deferred,
    Demote,
    Ended,
    MakeChampion,
    Refused,
    Route,
    Stop,
    Submit,
    TurnRecord,
    Withdraw,
)
from heliostat.govern.events import Asked

KINDS = (Submit, Stop, Route, MakeChampion, Withdraw, Demote, Ended, Deferred, Declined, Refused)
COMMAND_BY_NAME = {kind.__name__: kind for kind in KINDS}
INSTANTS = frozenset({"at", "as_of", "until", "rests_until"})  # every other instant ends in _at


def command_to_json(command: Command) -> dict[str, Any]:
    """Plain values with the command's name under `command`."""
    return {"command": type(command).__name__} | _to_json(command)


def command_from_json(value: Mapping[str, Any]) -> Command:
    """The command that `command_to_json` wrote."""
    values = {name: one for name, one in value.items() if name != "command"}
    return COMMAND_BY_NAME[value["command"]](**_from_json(values))


def record_to_json(record: TurnRecord) -> dict[str, Any]:
    """Plain values of a turn."""
    return _to_json(record)


def record_from_json(value: Mapping[str, Any]) -> TurnRecord:
    """The turn that `record_to_json` wrote."""
    return TurnRecord(**_from_json(value))


def ask_to_json(ask: Asked) -> dict[str, Any]:
    """Plain values of an ask."""
    return _to_json(ask)


def ask_from_json(value: Mapping[str, Any]) -> Asked:
    """The ask that `ask_to_json` wrote."""
    return Asked(**_from_json(value))


def _to_json(record: Command | TurnRecord | Asked) -> dict[str, Any]:
    return {one.name: _plain(getattr(record, one.name)) for one in fields(record)}


def _plain(value: object) -> object:
    if isinstance(value, TurnRecord):
        return _to_json(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _from_json(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _whole(name, one) for name, one in value.items()}


def _whole(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "record":
        return record_from_json(value)
    if name.endswith("_at") or name in INSTANTS:
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
