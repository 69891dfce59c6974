"""What the OpenAPI document says of answers and labels, by the kind of label."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from heliostat.tasks import Task

Schema = dict[str, Any]

_PROBABILITIES: Schema = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}
_VALUE_BY_KIND: dict[str, Callable[[Any], Schema]] = {
    "binary": lambda _: {"enum": [0, 1]},
    "classes": lambda task: {"enum": list(task.label.values)},
    "quantity": lambda task: {
        "type": "number",
        **({} if task.label.low is None else {"minimum": task.label.low}),
        **({} if task.label.high is None else {"maximum": task.label.high}),
    },
}


def label_value(task: Task) -> Schema:
    """What a caller sends as a label."""
    return _VALUE_BY_KIND[task.kind](task)


def told_columns(task: Task) -> str:
    """The Arrow columns that tell the answers, in words."""
    return ", ".join(f"{name} ({kind})" for name, kind in task.told_types.items()).replace("double", "float64")


def told(task: Task) -> Schema:
    """The properties that tell the answers: the prediction first, under that name."""
    first, *others = [(name, _of_type(task, name, kind)) for name, kind in task.told_types.items()]
    return {"predictions": first[1], **dict(others)}


def _of_type(task: Task, name: str, kind: pa.DataType) -> Schema:
    if task.kind == "quantity":
        return {"type": "array", "items": {"type": ["number", "null"]}}
    if name == "class":
        return {"type": "array", "items": _VALUE_BY_KIND["classes"](task)}
    return {"type": "array", "items": _PROBABILITIES} if pa.types.is_list(kind) else _PROBABILITIES
