"""Numbers as people write them: with a decimal comma, and with marks between thousands."""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat.errors import ContractError
from heliostat.simulate.inputs import MAX_MARKS, MIN_NUMBERS_SHARE

Style = Literal[",", "."]  # the decimal mark; the other one parts thousands
OTHER: Mapping[Style, Style] = {",": ".", ".": ","}
# Groups of three digits, of which the first does not begin with a zero: 0.125 is no number of thousands.
PATTERN: Mapping[Style, str] = {
    ",": r"^\s*[-+]?((\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?|,\d+)([eE][-+]?\d+)?\s*$",
    ".": r"^\s*[-+]?((\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?|\.\d+)([eE][-+]?\d+)?\s*$",
}


def with_numbers(table: pa.Table, *, styles: Collection[Style]) -> pa.Table:
    """The table with its texts of numbers as numbers, in whichever of the `styles` its columns are written.

    A column of which every number can be read in one style alone shows which; the others follow where all that show one
    show the same. Marks of missing values keep a column text, of plain numbers. ContractError where two readings
    are possible that order the values otherwise: 999 and 1,234.
    """
    names = [name for name in table.column_names if table.column_names.count(name) == 1]
    found = {name: _readable(table[name], styles) for name in names if table[name].type == pa.string()}
    shown = {kinds[0] for kinds in found.values() if len(kinds) == 1}
    for name, kinds in found.items():
        if kinds:
            style = kinds[0] if len(kinds) == 1 else _chosen(name, table[name], shown)
            table = table.set_column(table.column_names.index(name), name, _plain(table[name], style))
    return table


def is_written(values: pa.ChunkedArray, *, styles: Collection[Style]) -> bool:
    """Whether a column holds numbers that have a comma, in some of the styles."""
    return bool(pc.any(pc.match_substring(values, ",")).as_py()) and bool(_readable(values, styles))


def _readable(values: pa.ChunkedArray, styles: Collection[Style]) -> list[Style]:
    """The styles in which all values but a few marks are numbers."""
    counts = pc.value_counts(values.drop_null().combine_chunks())
    texts, numbers = counts.field("values"), counts.field("counts")
    has_digit = pc.match_substring_regex(texts, r"\d")
    least = MIN_NUMBERS_SHARE * (len(values) - values.null_count)
    kinds: list[Style] = []
    for style in styles:
        is_number = pc.and_(has_digit, pc.match_substring_regex(texts, PATTERN[style]))
        num_marks = len(texts) - (pc.sum(is_number).as_py() or 0)
        # A mark is a word for a missing value: a number in another style is none.
        is_only_marks = not pc.any(pc.and_(has_digit, pc.invert(is_number))).as_py()
        if is_only_marks and num_marks <= MAX_MARKS and 0 < least <= (pc.sum(numbers.filter(is_number)).as_py() or 0):
            kinds.append(style)
    return kinds


def _chosen(name: str, values: pa.ChunkedArray, shown: Collection[Style]) -> Style:
    """The style of a column that could be of each: that of the others, or any where both order its values alike."""
    if len(shown) == 1:
        return next(iter(shown))
    known = pc.unique(values.drop_null())
    known = known.filter(pc.match_substring_regex(known, r"\d"))
    read = {style: _numbers(known, style) for style in OTHER}
    comma, point = (np.unique(numbers, return_inverse=True)[1] for numbers in (read[","], read["."]))
    has_comma = bool(pc.any(pc.match_substring(known, ",")).as_py())
    if np.array_equal(comma, point):
        return "," if has_comma else "."
    if not has_comma and not shown:
        return "."  # 999 and 1.234: nothing in the file has a decimal comma
    marked = known.filter(pc.match_substring_regex(known, r"\d[.,]\d"))[0].as_py().strip()
    raise ContractError(
        f"Column {name!r} has values such as {marked!r}, which may be {_numbers(pa.array([marked]), ',')[0]:g} or "
        f"{_numbers(pa.array([marked]), '.')[0]:g}, and no other column tells which; take out what parts thousands."
    )


def _plain(values: pa.ChunkedArray, style: Style) -> pa.ChunkedArray:
    """The numbers with a decimal point and nothing else; still text where some values are marks."""
    plain = pc.replace_substring(pc.utf8_trim_whitespace(values), OTHER[style], "")
    plain = pc.replace_substring(plain, style, ".")
    has_mark = pc.any(pc.invert(pc.match_substring_regex(values, r"\d"))).as_py()
    return plain if has_mark else plain.cast(pa.float64())


def _numbers(texts: pa.Array, style: Style) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(_plain(pa.chunked_array([texts]), style).to_numpy(), np.float64)
