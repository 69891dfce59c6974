"""Which columns of a table are inputs, and as what: numbers, categories, or left out with a reason."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from heliostat.columns import Category, Column, Number
from heliostat.errors import ContractError
from heliostat.watch.profile import OUTPUTS

PANDAS_INDEX = "__index_level_"
TAKEN = OUTPUTS | {"event_at"}  # names that the watching needs for itself
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
MIN_NUMBERS_SHARE = 0.9  # of the values of a text column: the others stand for missing ones
MAX_MARKS = 3  # "?", "-", "none": more are words
TRIED_VALUES = 100
TEXT_KINDS = (
    pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"),
)  # of instants as text: Arrow reads one of them at a time
MIN_KEY_SHARE = 0.9  # of values that are different: such a text names the row


def inputs(table: pa.Table, *, apart: Collection[str], remarks: list[str]) -> tuple[pa.Table, list[Column]]:
    """The inputs in the table's order, every column that is not `apart`; what cannot be one is told in `remarks`."""
    columns: list[Column] = []
    arrays: list[pa.ChunkedArray] = []
    dropped: dict[str, list[str]] = {}
    for name in table.column_names:
        if name in apart:
            continue
        why = _why_dropped(name, table[name])
        if why is not None:
            dropped.setdefault(why, []).append(name)
            continue
        told = _as_numbers(name, table[name], remarks) if is_text(table[name].type) else table[name]
        column, values = _input(_free(name, table.column_names), told)
        columns.append(column)
        arrays.append(values)
    remarks += [f"Left out as inputs: {', '.join(names)} ({why})." for why, names in dropped.items()]
    if not columns:
        raise ContractError("No column is left as an input; give a table with at least one number, text or boolean.")
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns]).combine_chunks(), columns


def _free(name: str, others: Collection[str]) -> str:
    """The name, or one that neither the watching nor another column has."""
    if name not in TAKEN:
        return name
    while name in TAKEN or name in others:
        name += " (input)"
    return name


def _input(name: str, values: pa.ChunkedArray) -> tuple[Column, pa.ChunkedArray]:
    if is_text(values.type):
        return Category(name, optional=True), values.cast(pa.string())
    return Number(name, low=-np.inf, high=np.inf, optional=True), finite(values)


def finite(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers and booleans as float64; what is not finite is missing."""
    narrow = values.cast(pa.int8()) if kinds.is_boolean(values.type) else values
    numbers = narrow.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def is_number(kind: pa.DataType) -> bool:
    """Whether values of that type are numbers; booleans are not."""
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values of that type are text."""
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _why_dropped(name: str, values: pa.ChunkedArray) -> str | None:
    kind = values.type
    if name.startswith(PANDAS_INDEX):
        return "the row labels of pandas"
    if kinds.is_null(kind):
        return "no value at all"
    if kinds.is_temporal(kind):
        return "times and dates: turn them into numbers such as the hour if the model should see them"
    if is_text(kind) and _are_instants(values):
        return "times and dates as text: turn them into numbers such as the hour if the model should see them"
    if is_number(kind) or is_text(kind) or kinds.is_boolean(kind):
        return None
    return f"{kind} is neither number, text nor boolean"


def _are_instants(values: pa.ChunkedArray) -> bool:
    """Whether a text is a date or an instant in every row that has one; a few are looked at first."""
    known = values.drop_null().cast(pa.string())
    return len(known) > 0 and any(
        can_be(known.slice(0, TRIED_VALUES), kind) and can_be(known, kind) for kind in TEXT_KINDS
    )


def can_be(texts: pa.ChunkedArray, kind: pa.DataType) -> bool:
    """Whether all of the texts are of that kind."""
    try:
        texts.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _as_numbers(name: str, values: pa.ChunkedArray, remarks: list[str]) -> pa.ChunkedArray:
    """A text of numbers and a few marks of missing ones, as numbers; any other text as it is.

    Without such marks somebody wanted it to be text: codes of places are no quantities.
    """
    texts = values.cast(pa.string())
    counts = pc.value_counts(texts.drop_null().combine_chunks())
    found = counts.field("values")
    is_numeric = pc.match_substring_regex(found, NUMBER)
    num_numbers = pc.sum(counts.field("counts").filter(is_numeric)).as_py() or 0
    marks = found.filter(pc.invert(is_numeric))
    if not 0 < len(marks) <= MAX_MARKS or num_numbers < MIN_NUMBERS_SHARE * (len(values) - values.null_count):
        if len(found) > MIN_KEY_SHARE * len(values):
            remarks.append(f"{name} has another text in nearly every row, which teaches nothing: is it the --key?")
        return values
    shown = ", ".join(map(repr, marks.to_pylist()))
    remarks.append(
        f"{name} is text, but all of it is numbers except {shown}: it was read as numbers, those as missing."
    )
    is_mark = pc.is_in(texts, value_set=marks)
    return pc.if_else(is_mark, pa.scalar(None, pa.string()), pc.utf8_trim_whitespace(texts)).cast(pa.float64())
