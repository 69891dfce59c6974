"""Reads the table of a simulation: Parquet, CSV or Feather, told by the file's ending."""

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, feather, parquet

from heliostat.errors import ContractError
from heliostat.simulate.written import Style, is_written, with_numbers

COMMA, SEMICOLON, TAB = ",", ";", "\t"
UTF_8 = "utf8"
STYLES: Sequence[Style] = (".", ",")
QUOTED = re.compile('"[^"]*"')


def _parquet(path: Path) -> pa.Table:
    return parquet.ParquetFile(path).read()


def _csv(path: Path) -> pa.Table:
    """A CSV file with commas, semicolons or tabs, whichever its first line has most of outside quotes.

    Numbers may have a decimal comma, and marks between thousands; where commas part fields, only the latter.
    """
    with _opened(path) as file:
        start = file.read(1 << 16)
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else UTF_8
    text = start.decode("latin-1" if encoding == UTF_8 else encoding, errors="ignore")
    first_line = QUOTED.sub("", text).partition("\n")[0]
    delimiter = max(COMMA, SEMICOLON, TAB, key=first_line.count)
    table = _delimited(path, delimiter, encoding=encoding)
    styles = STYLES if delimiter != COMMA else STYLES[:1]
    if not any(is_written(table[name], styles=styles) for name in _named(table, pa.string())):
        return table
    # What was taken for a number with a decimal point may be one of thousands: 1.234 beside 5,6.
    numbers = _named(table, pa.float64())
    found = with_numbers(_delimited(path, delimiter, encoding=encoding, texts=numbers), styles=styles)
    unread = [name for name in numbers if found[name].type == pa.string()]
    for name in unread:
        found = found.set_column(found.column_names.index(name), name, table[name])
    return found


def _named(table: pa.Table, kind: pa.DataType) -> list[str]:
    """The columns of a type whose name no other has."""
    names = table.column_names
    return [name for name in names if names.count(name) == 1 and table[name].type == kind]


def _opened(path: Path) -> pa.NativeFile:
    is_packed = path.suffix.lower() == ".gz"
    return pa.input_stream(str(path), compression="gzip" if is_packed else None)


def _delimited(path: Path, delimiter: str, *, encoding: str, texts: Sequence[str] = ()) -> pa.Table:
    """Empty fields are missing in texts too; what is no UTF-8 is read byte by byte, which keeps texts apart.

    The columns in `texts` are not turned into numbers.
    """
    with _opened(path) as file:
        table = csv.read_csv(
            file,
            read_options=csv.ReadOptions(encoding=encoding),
            parse_options=csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(
                strings_can_be_null=True, column_types=dict.fromkeys(texts, pa.string())
            ),
        )
    if encoding == UTF_8 and not _is_utf_8(table):
        return _delimited(path, delimiter, encoding="latin-1", texts=texts)
    return table


def _is_utf_8(table: pa.Table) -> bool:
    """Whether all names and texts could be read."""
    try:
        names = table.column_names
    except UnicodeDecodeError:
        return False
    return not any(pa.types.is_binary(table.schema.field(place).type) for place in range(len(names)))


def _feather(path: Path) -> pa.Table:
    return feather.read_table(path)


READER_BY_ENDING: Mapping[str, Callable[[Path], pa.Table]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".feather": _feather,
    ".arrow": _feather,
}


def read(path: Path) -> pa.Table:
    """The table in a file; ContractError, in one sentence, when there is none."""
    if not path.is_file():
        raise ContractError(f"There is no file {path}; give --data a Parquet, CSV or Feather file.")
    name = path.name.lower()
    reader = next((found for ending, found in READER_BY_ENDING.items() if name.endswith(ending)), _parquet)
    try:
        return reader(path)
    except (pa.ArrowInvalid, UnicodeError, OSError) as error:
        first_line = str(error).splitlines()[0].rstrip(".")
        kind = reader.__name__.lstrip("_").upper() if reader is _csv else reader.__name__.lstrip("_").capitalize()
        raise ContractError(
            f"{path} cannot be read as {kind} ({first_line}); mend it, or give a Parquet, CSV or Feather file."
        ) from error
