"""The binary-tensor extension of the Open Inference Protocol v2: numbers and texts as bytes behind the JSON.

Little-endian, row by row, nothing between elements; a BYTES element is its length in 4 bytes and then its bytes.
"""

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from heliostat.serving.cells import Values
from heliostat.serving.problem import MalformedError

OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
NUMPY_TYPES = {
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}
_LENGTH_BYTES = 4


class Tail:
    """The bytes behind the JSON of a request; tensors take theirs in the order in which the JSON names them."""

    def __init__(self, body: bytes | memoryview = b"") -> None:
        self._rest = memoryview(body)

    def take(self, num_bytes: int, *, name: str) -> memoryview:
        """The next bytes; MalformedError naming the tensor when there are fewer."""
        if num_bytes > len(self._rest):
            raise MalformedError(
                f"Input {name!r:.80} says binary_data_size {num_bytes}; the body has {len(self._rest)} bytes left."
            )
        taken, self._rest = self._rest[:num_bytes], self._rest[num_bytes:]
        return taken

    def refuse_rest(self) -> None:
        """MalformedError when no tensor took the last bytes."""
        if self._rest:
            raise MalformedError(
                f"The body has {len(self._rest)} bytes that belong to no input; "
                "give every binary input its binary_data_size, in the order of the bytes."
            )


def split(body: bytes, header_length: str) -> tuple[memoryview, Tail]:
    """The JSON and what is behind it; `header_length` is the request's header of that name."""
    is_number = header_length.isascii() and header_length.isdecimal() and len(header_length) < 20
    if not is_number or not 0 < int(header_length) <= len(body):
        raise MalformedError(
            f"{HEADER_LENGTH} must say how many of the body's {len(body)} bytes are JSON; got {header_length!r:.40}."
        )
    whole = memoryview(body)
    return whole[: int(header_length)], Tail(whole[int(header_length) :])


def decode_numbers(raw: memoryview, datatype: str, *, num_elements: int, name: str) -> pa.Array:
    """The elements as an Arrow array, a view of `raw` where its place allows that."""
    kind = np.dtype(NUMPY_TYPES[datatype])
    if len(raw) != num_elements * kind.itemsize:
        raise MalformedError(
            f"Input {name!r:.80} of {num_elements} {datatype} takes {num_elements * kind.itemsize} bytes; "
            f"got {len(raw)} bytes."
        )
    values = np.frombuffer(raw, kind)
    # JSON of any length may stand before them, and Arrow computes on aligned buffers only.
    return pa.array(values if values.flags.aligned else values.copy())


def decode_texts(raw: memoryview, *, num_elements: int, name: str) -> Values:
    """The elements of a BYTES tensor as text."""
    texts: Values = []
    start = 0
    for _ in range(num_elements):
        end = start + _LENGTH_BYTES
        if end <= len(raw):
            start, end = end, end + int(struct.unpack_from("<I", raw, start)[0])
        if end > len(raw):
            raise MalformedError(
                f"Input {name!r:.80} ends inside element {len(texts)} of {num_elements}; "
                f"every BYTES element is its length in {_LENGTH_BYTES} bytes and then its bytes."
            )
        texts.append(text(raw[start:end], index=len(texts), name=name))
        start = end
    if start != len(raw):
        raise MalformedError(
            f"Input {name!r:.80} has {len(raw) - start} bytes after its {num_elements} elements; "
            "its shape and its size in bytes must agree."
        )
    return texts


def encode(values: Sequence[object], datatype: str) -> bytes:
    """The bytes of an output tensor."""
    if datatype in NUMPY_TYPES:
        return np.asarray(values, NUMPY_TYPES[datatype]).tobytes()
    raw = [str(value).encode() for value in values]
    return b"".join(part for element in raw for part in (struct.pack("<I", len(element)), element))


def text(raw: bytes | memoryview, *, index: int, name: str) -> str:
    """One element of a BYTES tensor as text."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"Input {name!r:.80}: element {index} is no text in UTF-8: {error!s:.120}.") from error
