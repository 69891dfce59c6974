"""Columns in the forms that all of Arrow's functions know: other libraries write dictionaries, runs and views, too."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds


def decoded(table: pa.Table, *, apart: Collection[str], remarks: list[str]) -> pa.Table:
    """The same values plainly written, without the nested columns that are not `apart`: no model sees them."""
    kept: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        values = _plain(table[name])
        if kinds.is_nested(values.type) and name not in apart:
            remarks.append(f"Left out as inputs: {name} ({values.type} is neither number, text nor boolean).")
        else:
            kept[name] = values
    return pa.table(kept)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if kinds.is_run_end_encoded(values.type):
        return _plain(pa.chunked_array([pc.run_end_decode(part) for part in values.chunks], values.type.value_type))
    if kinds.is_dictionary(values.type):
        parts = [_plain(pa.chunked_array([part.dictionary])).combine_chunks() for part in values.chunks]
        kind = _plain(pa.chunked_array([], values.type.value_type)).type
        taken = [words.take(part.indices) for words, part in zip(parts, values.chunks, strict=True)]
        return pa.chunked_array(taken, kind)
    if kinds.is_string_view(values.type):
        return values.cast(pa.string())
    if kinds.is_binary_view(values.type):
        return values.cast(pa.binary())
    return values
