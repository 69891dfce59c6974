"""Columns in bulk: an Arrow IPC stream from a caller, measured before it is decoded.

Decoding copies nothing: columns are views of the body. What could make few bytes large (compressed buffers, more
rows than bytes, dictionaries that repeat a long text) is refused before any memory is spent on it.
"""

import struct
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from heliostat.serving.problem import MalformedError, TooLargeError

ARROW = "application/vnd.apache.arrow.stream"
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_HOW = "Send the bytes that an Arrow IPC stream writer gives, up to and with its end."
# Positions of fields in Arrow's flatbuffer tables Message, DictionaryBatch and RecordBatch (format/Message.fbs).
_MESSAGE_HEADER, _DICTIONARY_DATA, _BATCH_LENGTH, _BATCH_COMPRESSION = 2, 1, 0, 3


def read_stream(body: bytes, *, max_rows: int, max_bytes: int) -> dict[str, pa.Array]:
    """The columns of a stream by name, views of `body` where there is one batch.

    MalformedError when it is no complete stream, TooLargeError when it has more than `max_rows` rows or would decode
    to more than `max_bytes`.
    """
    try:
        _measure(body, max_rows=max_rows)
        table = pa.ipc.open_stream(body).read_all()
        # Offsets and indices come from a stranger: what points outside its buffer must not be followed.
        table.validate(full=True)
        names = table.column_names
        _spell(table.schema)
    # struct.error: a message whose header is not where it says. UnicodeDecodeError: a name that is no text.
    except (pa.ArrowException, OSError, struct.error, UnicodeDecodeError) as error:
        raise MalformedError(f"The body is no complete Arrow stream: {error!s:.300}. {_HOW}") from error
    # One look at each name: a body has room for a hundred thousand.
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise MalformedError(f"Column {twice!r:.80} is there twice; send one column a name.")
    return {name: _dense(table.column(name), name, max_bytes=max_bytes) for name in names}


def write_stream(arrays: Mapping[str, pa.Array], *, metadata: Mapping[str, str]) -> bytes:
    """One record batch as a stream; `metadata` stands in its schema."""
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    batch = batch.replace_schema_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _measure(body: bytes, *, max_rows: int) -> None:
    source = pa.BufferReader(body)
    reader = pa.ipc.MessageReader.open_stream(source)
    num_rows = 0
    for message in iter(lambda: next(reader, None), None):
        if message.type == "schema":
            continue
        metadata = message.metadata.to_pybytes()
        batch = _header(metadata) if message.type == "record batch" else _dictionary(metadata)
        if _field(metadata, batch, _BATCH_COMPRESSION) is not None:
            raise MalformedError("Buffers of the Arrow stream must not be compressed; write it without `compression`.")
        length = _int64(metadata, _field(metadata, batch, _BATCH_LENGTH))
        num_rows += length if message.type == "record batch" else 0
        # A dictionary with more values than rows may be short texts of all time; one with more than bytes may not.
        if not 0 <= length <= max(max_rows, len(body)) or num_rows > max_rows:
            raise TooLargeError(
                f"A request may have {max_rows} rows; got at least {num_rows}. Send them in several requests."
            )
    if source.tell() != len(body) or not body.endswith(_END):
        raise MalformedError(f"The Arrow stream does not end with its end-of-stream mark. {_HOW}")


def _spell(schema: pa.Schema) -> None:
    """UnicodeDecodeError now, when a type holds a name or a zone that is no text, and not where it is first used."""
    for kind in schema.types:
        str(kind)
        if pa.types.is_timestamp(kind):
            str(kind.tz)


def _dense(column: pa.ChunkedArray, name: str, *, max_bytes: int) -> pa.Array:
    """One array, a dictionary replaced by its values."""
    if pa.types.is_dictionary(column.type):
        num_bytes = sum(_decoded_bytes(chunk, name) for chunk in column.chunks)
        if num_bytes > max_bytes:
            raise TooLargeError(
                f"Column {name!r:.80} is {num_bytes} bytes without its dictionary; the limit is {max_bytes}. "
                "Send fewer rows at once."
            )
        column = column.cast(column.type.value_type)
    # One chunk is handed on as it is: combining would copy it.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _decoded_bytes(chunk: pa.DictionaryArray, name: str) -> int:
    values = chunk.dictionary
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise MalformedError(f"A dictionary must hold text; column {name!r:.80} has {values.type!s:.80}.")
    lengths = pa.compute.binary_length(values).cast(pa.int64())
    return int(pa.compute.sum(lengths.take(chunk.indices)).as_py() or 0)


def _header(metadata: bytes) -> int:
    return _table(metadata, _field(metadata, _root(metadata), _MESSAGE_HEADER))


def _dictionary(metadata: bytes) -> int:
    return _table(metadata, _field(metadata, _header(metadata), _DICTIONARY_DATA))


def _root(metadata: bytes) -> int:
    return int(struct.unpack_from("<I", metadata, 0)[0])


def _field(metadata: bytes, table: int, index: int) -> int | None:
    """Where a field of a flatbuffer table lies, None when the table has none."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, vtable)[0]
    if 4 + 2 * index >= size:
        return None
    offset = struct.unpack_from("<H", metadata, vtable + 4 + 2 * index)[0]
    return table + offset if offset else None


def _table(metadata: bytes, field: int | None) -> int:
    if field is None:
        raise MalformedError(f"A message of the Arrow stream has no content. {_HOW}")
    return field + int(struct.unpack_from("<I", metadata, field)[0])


def _int64(metadata: bytes, field: int | None) -> int:
    return 0 if field is None else int(struct.unpack_from("<q", metadata, field)[0])
