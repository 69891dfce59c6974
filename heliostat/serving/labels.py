"""Labels as callers send them: late, twice and out of order are all normal; a wrong id or value is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from heliostat.errors import ContractError
from heliostat.ids import event_time
from heliostat.serving.instants import instant
from heliostat.serving.problem import MalformedError
from heliostat.serving.row_keys import refuse_long_key
from heliostat.tasks import BINARY, Task

_FIELDS = frozenset({"id", "key", "value", "at"})
_EXAMPLE = '{"labels": [{"id": "...", "value": 1, "at": "2013-03-01T14:05:00Z"}]}'


@dataclass(frozen=True, kw_only=True)
class Label:
    """One label: of a prediction by its id, or of the latest prediction of a key."""

    id: str | None
    key: str | None
    value: float
    known_at: datetime


def read_labels(document: Any, *, received_at: datetime, task: Task = BINARY) -> list[Label]:
    """The labels of a request; without `at` a label became known when it was received."""
    labels = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, dict) for label in labels):
        raise MalformedError(f"Labels look like {_EXAMPLE}; got no list `labels` of at least one object.")
    return [_label(label, index, received_at=received_at, task=task) for index, label in enumerate(labels)]


def _label(label: Mapping[str, Any], index: int, *, received_at: datetime, task: Task) -> Label:
    unknown = sorted(label.keys() - _FIELDS)
    if unknown:
        raise ContractError(
            f"label {index}: field {unknown[0]!r:.80} is not known; known are {_names(sorted(_FIELDS))}."
        )
    identifier, key = label.get("id"), label.get("key")
    if (identifier is None) == (key is None):
        raise ContractError(
            f"label {index} must have either an id or a key; got id {identifier!r:.80}, key {key!r:.80}."
        )
    value = task.code(label.get("value"))
    if value is None:
        raise ContractError(f"label {index}: value must be {task.allowed}; got {label.get('value')!r:.80}.")
    at = label.get("at")
    return Label(
        id=None if identifier is None else _identifier(identifier, index),
        key=None if key is None else _key(key, index),
        value=value,
        known_at=received_at if at is None else instant(at, where=f"label {index}: at"),
    )


def _identifier(identifier: Any, index: int) -> str:
    try:
        event_time(identifier)
    except (ValueError, OverflowError, AttributeError, TypeError) as error:
        raise ContractError(
            f"label {index}: id must be one that a prediction was answered with; got {identifier!r:.80}."
        ) from error
    # One spelling of an id, as it was answered, or the label would find no prediction.
    return str(UUID(identifier))


def _key(key: Any, index: int) -> str:
    if type(key) is not str or not key:
        raise ContractError(f"label {index}: key must be text that is not empty; got {key!r:.80}.")
    refuse_long_key(key, where=f"label {index}: key")
    return key


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
