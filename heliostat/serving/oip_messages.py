"""Open Inference Protocol v2 (gRPC): its messages as the documents that `oip` reads, and answers as its messages.

Tensors come raw (`raw_input_contents`, as the binary extension of REST packs them) or typed (`contents`); the answer's
come as the request's did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from heliostat.columns import Column
from heliostat.serving import binary_tensors, oip
from heliostat.serving.binary_tensors import Tail
from heliostat.serving.cells import Values
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.serving.problem import MalformedError, TooLargeError
from heliostat.tasks import BINARY, Task

# A message of two bytes an input would take the event loop seconds and gigabytes to look through: so there are no more
# than a contract has columns, with keys and times beside them under any of their names.
_MOST_BESIDE = 10
_MOST_OUTPUTS = 8
_MOST_PARAMETERS = 100
# Where the typed values of a datatype lie, and the datatype that they have there.
_CONTENTS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), ("int_contents", "INT32")),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), ("uint_contents", "UINT32")),
    "INT64": ("int64_contents", "INT64"),
    "UINT64": ("uint64_contents", "UINT64"),
    "FP32": ("fp32_contents", "FP32"),
    "FP64": ("fp64_contents", "FP64"),
    "BYTES": ("bytes_contents", "BYTES"),
}


class _Pieces(Tail):
    """The bytes of each input, one piece an input, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[memoryview] = []

    def add(self, piece: memoryview) -> dict[str, int]:
        """Keeps the bytes of the next input; returns the parameter that says so."""
        self._pieces.append(piece)
        return {"binary_data_size": len(piece)}

    def take(self, num_bytes: int, *, name: str) -> memoryview:
        """The bytes of the next input."""
        return self._pieces.pop(0)


def decode(
    message: pb.ModelInferRequest, columns: Sequence[Column], *, max_rows: int, task: Task = BINARY
) -> oip.Inference:
    """The request as `oip.decode` gives it, by the same checks with the same sentences."""
    _refuse_crowded(message, most_inputs=len(columns) + _MOST_BESIDE)
    tail, lengths = _Pieces(), oip.length_by_name(columns)
    raw = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        raise MalformedError(
            f"raw_input_contents must have one element for each of the {len(message.inputs)} inputs; got {len(raw)}."
        )
    document = {
        "id": message.id or None,
        "parameters": _values_of(message.parameters),
        "inputs": [
            _input(tensor, raw[index] if raw else None, length=lengths.get(tensor.name), tail=tail, max_rows=max_rows)
            for index, tensor in enumerate(message.inputs)
        ],
        "outputs": [{"name": each.name, "parameters": _values_of(each.parameters)} for each in message.outputs],
    }
    inference = oip.decode(document, columns, tail=tail, max_rows=max_rows, task=task)
    return replace(inference, is_binary_by_output=dict.fromkeys(inference.is_binary_by_output, bool(raw)))


def encode(
    values_by_output: Mapping[str, Values],
    *,
    model: str,
    version: int,
    request_id: str,
    is_binary_by_output: Mapping[str, bool],
    parameters: Mapping[str, Any],
    task: Task = BINARY,
) -> pb.ModelInferResponse:
    """The response, its tensors in the order that was asked for."""
    response = pb.ModelInferResponse(
        model_name=model,
        model_version=str(version),
        id=request_id,
        parameters={name: _parameter(value) for name, value in parameters.items()},
    )
    for name, is_raw in is_binary_by_output.items():
        shape, datatype = oip.shape_of(values_by_output[name]), oip.outputs_of(task)[name]
        values = oip.flat(values_by_output[name], shape)
        output = response.outputs.add(name=name, datatype=datatype, shape=shape)
        if is_raw:
            response.raw_output_contents.append(binary_tensors.encode(values, datatype))
        else:
            plain = [str(value).encode() for value in values] if datatype in oip.TEXTS else values
            getattr(output.contents, _CONTENTS[datatype][0]).extend(plain)
    return response


def metadata(document: Mapping[str, Any]) -> pb.ModelMetadataResponse:
    """What `oip.metadata` says, as a message."""
    return pb.ModelMetadataResponse(
        name=document["name"],
        versions=document["versions"],
        platform=document["platform"],
        inputs=[pb.ModelMetadataResponse.TensorMetadata(**tensor) for tensor in document["inputs"]],
        outputs=[pb.ModelMetadataResponse.TensorMetadata(**tensor) for tensor in document["outputs"]],
    )


def _refuse_crowded(message: pb.ModelInferRequest, *, most_inputs: int) -> None:
    held = {
        "inputs": (len(message.inputs), most_inputs),
        "raw_input_contents": (len(message.raw_input_contents), most_inputs),
        "outputs": (len(message.outputs), _MOST_OUTPUTS),
        "parameters": (len(message.parameters), _MOST_PARAMETERS),
    }
    for name, (number, most) in held.items():
        if number > most:
            raise MalformedError(f"A message may have {most} {name} here; got {number}. Send one input a column.")
    if any(len(output.parameters) > _MOST_PARAMETERS for output in message.outputs):
        raise MalformedError(f"An output may have {_MOST_PARAMETERS} parameters; leave those out that are not known.")


def _input(
    tensor: pb.ModelInferRequest.InferInputTensor,
    raw: bytes | None,
    *,
    length: int | None,
    tail: _Pieces,
    max_rows: int,
) -> dict[str, Any]:
    document = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    found = [each.name for each, _ in tensor.contents.ListFields()]
    if raw is not None and found:
        raise MalformedError(f"Input {tensor.name!r:.80} has both contents and raw_input_contents; send one of them.")
    if raw is not None:
        return {**document, "parameters": tail.add(memoryview(raw))}
    where, datatype = _CONTENTS.get(tensor.datatype, ("", ""))
    if tensor.datatype == "FP16":
        raise MalformedError(f"Input {tensor.name!r:.80}: FP16 travels in raw_input_contents only; got none.")
    if not where:
        # No such datatype: that is said where every datatype is checked.
        return {**document, "parameters": tail.add(memoryview(b""))}
    values = getattr(tensor.contents, where)
    if found not in ([where], []) or (not found and 0 not in tensor.shape):
        raise MalformedError(
            f"Input {tensor.name!r:.80} must carry its {tensor.datatype} values in {where}, or as bytes in "
            f"raw_input_contents; got {', '.join(found) or 'neither'}."
        )
    if len(values) > max_rows * (length or 1):
        raise TooLargeError(
            f"Input {tensor.name!r:.80} has {len(values)} values; a request may have {max_rows} rows of them."
        )
    if datatype in oip.TEXTS:
        texts = [binary_tensors.text(value, index=index, name=tensor.name) for index, value in enumerate(values)]
        return {**document, "data": texts}
    if length is None:
        oip.require_shape(document["shape"], num_values=len(values), name=tensor.name)
    if datatype != tensor.datatype:
        oip.require_integers(values, tensor.datatype, name=tensor.name)
    array = np.asarray(values, binary_tensors.NUMPY_TYPES[datatype])
    return {**document, "datatype": datatype, "parameters": tail.add(array.view(np.uint8).data)}


def _values_of(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    chosen = ((name, each, each.WhichOneof("parameter_choice")) for name, each in parameters.items())
    return {name: getattr(each, choice) for name, each, choice in chosen if choice is not None}


def _parameter(value: Any) -> pb.InferParameter:
    match value:
        case bool():
            return pb.InferParameter(bool_param=value)
        case int():
            return pb.InferParameter(int64_param=value)
        case float():
            return pb.InferParameter(double_param=value)
        case _:
            return pb.InferParameter(string_param=str(value))
