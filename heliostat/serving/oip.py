"""Open Inference Protocol v2 (REST, JSON tensors): one input tensor per column, in and out of plain columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliostat.columns import Column, Number
from heliostat.serving.cells import Values
from heliostat.serving.problem import MalformedError

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
NUMBERS = INTEGERS | {"FP16", "FP32", "FP64"}
TEXTS = frozenset({"BYTES"})
OUTPUTS = {"probability": "FP64", "confidence": "FP64", "id": "BYTES", "model_version": "INT32"}
_EXAMPLE = '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}]}'


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A request as columns, and which outputs it wants (all when it names none)."""

    id: str | None
    values_by_name: Mapping[str, Values]
    parameters: Mapping[str, Any]
    outputs: Sequence[str]


def decode(document: Any, columns: Sequence[Column]) -> Inference:
    """The request inside a JSON document; MalformedError when its shape or its datatypes do not fit the protocol.

    Inputs that are no declared column (the key, the times) are text.
    """
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
        raise MalformedError(f"An inference request looks like {_EXAMPLE}; got no list `inputs`.")
    numeric_by_name = {column.name: isinstance(column, Number) for column in columns}
    values_by_name: dict[str, Values] = {}
    for tensor in document["inputs"]:
        name = _name(tensor)
        if name in values_by_name:
            raise MalformedError(f"Input {name!r} is there twice; send one tensor a column.")
        values_by_name[name] = _values(tensor, name, numeric=numeric_by_name.get(name, False))
    return Inference(
        id=_optional(document, "id", str),
        values_by_name=values_by_name,
        parameters=_optional(document, "parameters", dict) or {},
        outputs=_outputs(_optional(document, "outputs", list)),
    )


def encode(
    values_by_output: Mapping[str, Values], *, model: str, version: int, request_id: str, outputs: Sequence[str]
) -> dict[str, Any]:
    """The response document, its tensors in the order that was asked for."""
    return {
        "model_name": model,
        "model_version": str(version),
        "id": request_id,
        "outputs": [
            {
                "name": name,
                "shape": [len(values_by_output[name])],
                "datatype": OUTPUTS[name],
                "data": values_by_output[name],
            }
            for name in outputs
        ],
    }


def metadata(
    columns: Sequence[Column], extras: Sequence[str], *, model: str, versions: Sequence[int]
) -> dict[str, Any]:
    """What a model takes and gives, as the protocol words it; `extras` may be left out of a request."""
    inputs = [(column.name, "FP64" if isinstance(column, Number) else "BYTES") for column in columns]
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": "heliostat",
        "inputs": [_tensor(name, datatype) for name, datatype in [*inputs, *((name, "BYTES") for name in extras)]],
        "outputs": [_tensor(name, datatype) for name, datatype in OUTPUTS.items()],
    }


def _tensor(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}


def _name(tensor: Any) -> str:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise MalformedError(f"Every input must be an object with a name; got {tensor!r:.80}.")
    return str(tensor["name"])


def _values(tensor: Mapping[str, Any], name: str, *, numeric: bool) -> Values:
    datatype = tensor.get("datatype")
    wanted = NUMBERS if numeric else TEXTS
    if not isinstance(datatype, str) or datatype not in wanted:
        raise MalformedError(f"Input {name!r} must have datatype {' or '.join(sorted(wanted))}; got {datatype!r:.40}.")
    if not isinstance(tensor.get("data"), list):
        raise MalformedError(f"Input {name!r} must carry its values as JSON in `data`; binary tensors are not taken.")
    values = _flat(tensor["data"])
    shape = tensor.get("shape")
    if shape not in ([len(values)], [len(values), 1]):
        raise MalformedError(f"Input {name!r} must have the shape [{len(values)}] of its data; got {shape!r:.80}.")
    return values


def _flat(data: list[Any]) -> Values:
    # The protocol allows [n, 1] tensors to be nested.
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _outputs(wanted: list[Any] | None) -> Sequence[str]:
    if not wanted:
        return tuple(OUTPUTS)
    names: list[str] = []
    for item in wanted:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in OUTPUTS:
            raise MalformedError(f"There is no output {item!r:.80}; name one of {', '.join(OUTPUTS)}.")
        names.append(name)
    return names


def _optional(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise MalformedError(f"`{name}` must be of JSON type {kind.__name__}; got {value!r:.80}.")
    return value
