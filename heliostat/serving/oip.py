"""Open Inference Protocol v2 (REST, JSON or binary tensors): one input tensor per column, in and out of columns.

A vector column is a tensor of shape [n, length], any other one of shape [n] or [n, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat import vectors
from heliostat.columns import Category, Column, Number, Text, Vector
from heliostat.serving import binary_tensors
from heliostat.serving.binary_tensors import Tail
from heliostat.serving.cells import Values
from heliostat.serving.problem import MalformedError, TooLargeError
from heliostat.serving.rows import Cells
from heliostat.tasks import BINARY, Task

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
NUMBERS = INTEGERS | {"FP16", "FP32", "FP64"}
TEXTS = frozenset({"BYTES"})
_ALWAYS = {"id": "BYTES", "model_version": "INT32"}
_DATATYPES: dict[type, str] = {Number: "FP64", Category: "BYTES", Text: "BYTES", Vector: "FP32"}
_EXAMPLE = '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}]}'


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A request as columns, and which outputs it wants (all when it names none), each as JSON or as bytes."""

    id: str | None
    values_by_name: Mapping[str, Cells]
    parameters: Mapping[str, Any]
    is_binary_by_output: Mapping[str, bool]


def decode(
    document: Any, columns: Sequence[Column], *, tail: Tail | None = None, max_rows: int, task: Task = BINARY
) -> Inference:
    """The request inside a JSON document and the bytes behind it.

    MalformedError naming the tensor when its shape, its datatype or its size does not fit the protocol, TooLargeError
    when it has more than `max_rows` rows. Inputs that are no declared column (the key, the times) are text.
    """
    tail = tail or Tail()
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
        raise MalformedError(f"An inference request looks like {_EXAMPLE}; got no list `inputs`.")
    numeric_by_name = {column.name: isinstance(column, Number | Vector) for column in columns}
    lengths = length_by_name(columns)
    values_by_name: dict[str, Cells] = {}
    for tensor in document["inputs"]:
        name = _name(tensor)
        if name in values_by_name:
            raise MalformedError(f"Input {name!r:.80} is there twice; send one tensor a column.")
        datatype = _datatype(tensor, name, numeric=numeric_by_name.get(name, False))
        shape = _shape(tensor, name, length=lengths.get(name), max_rows=max_rows)
        values_by_name[name] = _values(tensor, name, datatype=datatype, shape=shape, tail=tail)
    tail.refuse_rest()
    parameters = _optional(document, "parameters", dict) or {}
    all_binary = _flag(parameters, "binary_data_output", where="The request") or False
    return Inference(
        id=_optional(document, "id", str),
        values_by_name=values_by_name,
        parameters=parameters,
        is_binary_by_output=_outputs(_optional(document, "outputs", list), outputs_of(task), all_binary=all_binary),
    )


def length_by_name(columns: Sequence[Column]) -> dict[str, int]:
    """How many numbers a row has in each vector column."""
    return {column.name: column.length for column in columns if isinstance(column, Vector)}


def outputs_of(task: Task) -> dict[str, str]:
    """The datatype of every output, by name; all have a value a row, lists of numbers one a class too."""
    datatypes = {name: "BYTES" if pa.types.is_string(kind) else "FP64" for name, kind in task.told_types.items()}
    return {**datatypes, **_ALWAYS}


def shape_of(values: Sequence[Any]) -> list[int]:
    """The shape of an output's values: [n], or [n, k] of lists."""
    return [len(values), len(values[0])] if values and isinstance(values[0], list) else [len(values)]


def flat(values: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """All numbers in the order of the rows; what is not known is not a number."""
    plain = [one for row in values for one in row] if len(shape) > 1 else values
    return [float("nan") if one is None else one for one in plain]


def encode(
    values_by_output: Mapping[str, Values],
    *,
    model: str,
    version: int,
    request_id: str,
    is_binary_by_output: Mapping[str, bool],
    task: Task = BINARY,
) -> tuple[dict[str, Any], bytes]:
    """The response document, its tensors in the order that was asked for, and the bytes that go behind it."""
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, is_binary in is_binary_by_output.items():
        values = values_by_output[name]
        datatype, shape = outputs_of(task)[name], shape_of(values)
        output = {"name": name, "shape": shape, "datatype": datatype}
        values = flat(values, shape)
        if is_binary:
            tail.append(binary_tensors.encode(values, datatype))
            outputs.append({**output, "parameters": {"binary_data_size": len(tail[-1])}})
        else:
            outputs.append({**output, "data": values})
    document = {"model_name": model, "model_version": str(version), "id": request_id, "outputs": outputs}
    return document, b"".join(tail)


def metadata(
    columns: Sequence[Column], extras: Sequence[str], *, model: str, versions: Sequence[int], task: Task = BINARY
) -> dict[str, Any]:
    """What a model takes and gives, as the protocol words it; `extras` may be left out of a request."""
    inputs = [_tensor(column.name, _DATATYPES[type(column)], *_lengths(column)) for column in columns]
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": "heliostat",
        "inputs": [*inputs, *(_tensor(name, "BYTES") for name in extras)],
        "outputs": [_output(name, datatype, task) for name, datatype in outputs_of(task).items()],
    }


def _output(name: str, datatype: str, task: Task) -> dict[str, Any]:
    kind = task.told_types.get(name)
    each = list(task.shape) if kind is not None and pa.types.is_list(kind) else []
    return {"name": name, "datatype": datatype, "shape": [-1, *each]}


def _tensor(name: str, datatype: str, *lengths: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *lengths]}


def _lengths(column: Column) -> list[int]:
    return [column.length] if isinstance(column, Vector) else []


def _name(tensor: Any) -> str:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise MalformedError(f"Every input must be an object with a name; got {tensor!r:.80}.")
    return str(tensor["name"])


def _datatype(tensor: Mapping[str, Any], name: str, *, numeric: bool) -> str:
    datatype = tensor.get("datatype")
    wanted = NUMBERS if numeric else TEXTS
    if not isinstance(datatype, str) or datatype not in wanted:
        raise MalformedError(
            f"Input {name!r:.80} must have datatype {' or '.join(sorted(wanted))}; got {datatype!r:.40}."
        )
    return datatype


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """How many rows a tensor has, and how many numbers a row; None where that is one value and no vector."""

    num_rows: int
    length: int | None

    @property
    def num_elements(self) -> int:
        return self.num_rows * (self.length or 1)


def _shape(tensor: Mapping[str, Any], name: str, *, length: int | None, max_rows: int) -> _Shape:
    shape = tensor.get("shape")
    is_shape = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape) and shape
    inner = ([], [1]) if length is None else ([length],)
    if not is_shape or shape[1:] not in inner:  # type: ignore[index]
        wanted = "[n] or [n, 1]" if length is None else f"[n, {length}]"
        raise MalformedError(f"Input {name!r:.80} must have the shape {wanted} of its n rows; got {shape!r:.80}.")
    num_rows = int(shape[0])  # type: ignore[index]
    if num_rows > max_rows:
        raise TooLargeError(f"Input {name!r:.80} has {num_rows} rows; a request may have {max_rows} rows.")
    return _Shape(num_rows=num_rows, length=length)


def _values(tensor: Mapping[str, Any], name: str, *, datatype: str, shape: _Shape, tail: Tail) -> Cells:
    parameters = _optional(tensor, "parameters", dict) or {}
    if "binary_data_size" in parameters:
        return _binary(tensor, name, parameters["binary_data_size"], datatype=datatype, shape=shape, tail=tail)
    if not isinstance(tensor.get("data"), list):
        raise MalformedError(
            f"Input {name!r:.80} must carry its values as JSON in `data`, "
            "or as bytes behind the JSON with the parameter binary_data_size."
        )
    if datatype in INTEGERS:
        require_integers(tensor["data"], datatype, name=name)
    if shape.length is not None:
        return _lists(tensor["data"], name, shape)
    values = _flat(tensor["data"])
    require_shape(tensor["shape"], num_values=len(values), name=name)
    return values


def require_integers(data: Sequence[Any], datatype: str, *, name: str) -> None:
    """MalformedError naming the tensor and the first number, nested once or not, that its datatype cannot hold."""
    held = np.iinfo(binary_tensors.NUMPY_TYPES[datatype])
    for value in chain.from_iterable(item if type(item) is list else (item,) for item in data):
        if type(value) in (int, float) and not (held.min <= value <= held.max and value == int(value)):
            raise MalformedError(
                f"Input {name!r:.80} of datatype {datatype} holds whole numbers from {held.min} to {held.max}; got "
                f"{value!r:.40}. Send it as FP64."
            )


def require_shape(shape: Sequence[int], *, num_values: int, name: str) -> None:
    """MalformedError naming the tensor when its shape is not that of so many values."""
    if list(shape) not in ([num_values], [num_values, 1]):
        raise MalformedError(f"Input {name!r:.80} must have the shape [{num_values}] of its data; got {shape!r:.80}.")


def _lists(data: list[Any], name: str, shape: _Shape) -> Values:
    """The vectors of `data`, which has them one after the other, or nested."""
    length = shape.length or 1
    if any(type(item) is list for item in data):
        found, lists = len(data) * length, data
    else:
        found, lists = len(data), [data[start : start + length] for start in range(0, len(data), length)]
    if found != shape.num_elements:
        raise MalformedError(
            f"Input {name!r:.80} of shape [{shape.num_rows}, {length}] takes {shape.num_elements} numbers in `data`; "
            f"got {found}."
        )
    return lists


def _binary(tensor: Mapping[str, Any], name: str, num_bytes: Any, *, datatype: str, shape: _Shape, tail: Tail) -> Cells:
    if type(num_bytes) is not int or num_bytes < 0:
        raise MalformedError(f"Input {name!r:.80}: binary_data_size must be a number of bytes; got {num_bytes!r:.40}.")
    if "data" in tensor:
        raise MalformedError(f"Input {name!r:.80} has both `data` and binary_data_size; send one of them.")
    raw = tail.take(num_bytes, name=name)
    if datatype in TEXTS:
        return binary_tensors.decode_texts(raw, num_elements=shape.num_rows, name=name)
    numbers = binary_tensors.decode_numbers(raw, datatype, num_elements=shape.num_elements, name=name)
    if shape.length is None:
        return numbers
    return vectors.from_flat(numbers, num_rows=shape.num_rows, length=shape.length)


def _flat(data: list[Any]) -> Values:
    # The protocol allows [n, 1] tensors to be nested.
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _outputs(wanted: list[Any] | None, known: Mapping[str, str], *, all_binary: bool) -> dict[str, bool]:
    if not wanted:
        return dict.fromkeys(known, all_binary)
    is_binary_by_output: dict[str, bool] = {}
    for item in wanted:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in known:
            shown = item if name is None else name
            raise MalformedError(f"There is no output {shown!r:.80}; name one of {', '.join(known)}.")
        if name in is_binary_by_output:
            raise MalformedError(f"Output {name!r} is there twice; name it once.")
        parameters = _optional(item, "parameters", dict) or {}
        if parameters.get("classification"):
            raise MalformedError(f"Output {name!r} is no class; leave the parameter classification out.")
        is_binary = _flag(parameters, "binary_data", where=f"Output {name!r}")
        is_binary_by_output[name] = all_binary if is_binary is None else is_binary
    return is_binary_by_output


def _flag(parameters: Mapping[str, Any], name: str, *, where: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and type(value) is not bool:
        raise MalformedError(f"{where}: parameter {name} must be true or false; got {value!r:.40}.")
    return value


def _optional(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise MalformedError(f"`{name}` must be of JSON type {kind.__name__}; got {value!r:.80}.")
    return value
