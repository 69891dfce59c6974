"""The same rows as each server's protocol words them, and the probabilities inside each protocol's answers."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.mlp import NAMES
from benchmarks.mlp_vector import NAME as VECTOR
from benchmarks.network import NUM_INPUTS

JSON = "Content-Type: application/json"
OCTETS = "Content-Type: application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How rows become a body with its headers, and how an answer becomes probabilities."""

    name: str
    path: str
    encode: Callable[[np.ndarray], tuple[bytes, list[str]]]
    decode: Callable[[bytes, Mapping[str, str]], np.ndarray]


def rows(num_rows: int) -> np.ndarray:
    """The same rows for everybody: float32 of shape (rows, 32) with four digits, as a caller would write them."""
    drawn = np.random.default_rng(num_rows).standard_normal((num_rows, NUM_INPUTS))
    return drawn.round(4).astype(np.float32)


def rows_v1(path: str) -> Protocol:
    """Heliostat's rows: one object a row, every value with its column's name."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        return orjson.dumps({"rows": [dict(zip(NAMES, row, strict=True)) for row in _lists(inputs)]}), [JSON]

    return Protocol(name="rows as JSON", path=path, encode=encode, decode=_field("predictions"))


def vectors_v1(path: str) -> Protocol:
    """Heliostat's rows where all numbers are one vector."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        return orjson.dumps({"rows": [{VECTOR: row} for row in _lists(inputs)]}), [JSON]

    return Protocol(name="vectors as JSON", path=path, encode=encode, decode=_field("predictions"))


def arrow(path: str) -> Protocol:
    """Heliostat's columns: an Arrow stream in, an Arrow stream out."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        table = pa.table(dict(zip(NAMES, inputs.T.copy(), strict=True)))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue(), [f"Content-Type: {ARROW}", f"Accept: {ARROW}"]

    def decode(body: bytes, _: Mapping[str, str]) -> np.ndarray:
        return pa.ipc.open_stream(body).read_all()["probability"].to_numpy()

    return Protocol(name="Arrow stream", path=path, encode=encode, decode=decode)


def tensor_a_column(path: str) -> Protocol:
    """The Open Inference Protocol with binary tensors, one a column, and the probability alone as the answer."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        columns = dict(zip(NAMES, inputs.T.copy(), strict=True))
        outputs = [{"name": "probability", "parameters": {"binary_data": True}}]
        return _tensors(columns, shape=[len(inputs)], datatype="FP32", outputs=outputs)

    return Protocol(name="binary tensors", path=path, encode=encode, decode=_binary(FLOAT64))


def one_tensor(path: str, *, kind: np.dtype = FLOAT32) -> Protocol:
    """The Open Inference Protocol with one binary tensor that holds the whole matrix; probabilities are of `kind`."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        outputs = [{"name": "probability", "parameters": {"binary_data": True}}]
        return _tensors({"inputs": inputs}, shape=list(inputs.shape), datatype="FP32", outputs=outputs)

    return Protocol(name="binary tensor", path=path, encode=encode, decode=_binary(kind))


def one_tensor_json(path: str) -> Protocol:
    """The Open Inference Protocol with one tensor in JSON."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        tensor = {"name": "inputs", "shape": inputs.shape, "datatype": "FP32", "data": _lists(inputs)}
        return orjson.dumps({"inputs": [tensor]}), [JSON]

    def decode(body: bytes, _: Mapping[str, str]) -> np.ndarray:
        return np.array(json.loads(body)["outputs"][0]["data"])

    return Protocol(name="tensor as JSON", path=path, encode=encode, decode=decode)


def instances(path: str, *, answer: str | None = "predictions") -> Protocol:
    """A list of lists under `instances`; the answer's list stands under `answer`, or alone."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        return orjson.dumps({"instances": _lists(inputs)}), [JSON]

    return Protocol(name="lists as JSON", path=path, encode=encode, decode=_field(answer))


def matrix(path: str) -> Protocol:
    """The bytes of a float32 matrix in, of a float32 vector out."""

    def encode(inputs: np.ndarray) -> tuple[bytes, list[str]]:
        return inputs.tobytes(), [OCTETS]

    return Protocol(
        name="matrix as bytes", path=path, encode=encode, decode=lambda body, _: np.frombuffer(body, np.float32)
    )


def _lists(inputs: np.ndarray) -> list[list[float]]:
    # Through float64 with four digits, so that JSON holds 0.1234 and not 0.12340000271797180.
    rounded: list[list[float]] = inputs.astype(np.float64).round(4).tolist()
    return rounded


def _field(name: str | None) -> Callable[[bytes, Mapping[str, str]], np.ndarray]:
    def decode(body: bytes, _: Mapping[str, str]) -> np.ndarray:
        document = json.loads(body)
        return np.array(document if name is None else document[name])

    return decode


def _tensors(
    values_by_name: Mapping[str, np.ndarray], *, shape: list[int], datatype: str, outputs: list[dict]
) -> tuple[bytes, list[str]]:
    inputs = [
        {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": values.nbytes}}
        for name, values in values_by_name.items()
    ]
    head = orjson.dumps({"inputs": inputs, "outputs": outputs})
    head += b" " * (-len(head) % 8)  # so that the bytes behind it are aligned, as clients of the protocol may do
    body = head + b"".join(values.tobytes() for values in values_by_name.values())
    return body, [OCTETS, f"Inference-Header-Content-Length: {len(head)}"]


def _binary(kind: np.dtype) -> Callable[[bytes, Mapping[str, str]], np.ndarray]:
    def decode(body: bytes, headers: Mapping[str, str]) -> np.ndarray:
        if "inference-header-content-length" not in headers:  # a server may answer in JSON whatever was asked for
            return np.array(json.loads(body)["outputs"][0]["data"])
        return np.frombuffer(body[int(headers["inference-header-content-length"]) :], kind)

    return decode
