"""Reads the table of a simulation: Parquet, CSV or Feather, told by the file's ending."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, feather, parquet

from heliostat.errors import ContractError


def _parquet(path: Path) -> pa.Table:
    return parquet.ParquetFile(path).read()


def _csv(path: Path) -> pa.Table:
    return csv.read_csv(path)


def _tsv(path: Path) -> pa.Table:
    return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter="\t"))


def _feather(path: Path) -> pa.Table:
    return feather.read_table(path)


READER_BY_ENDING: Mapping[str, Callable[[Path], pa.Table]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _tsv,
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
    except (pa.ArrowInvalid, OSError) as error:
        first_line = str(error).splitlines()[0]
        kind = reader.__name__.lstrip("_").upper() if reader is _csv else reader.__name__.lstrip("_").capitalize()
        raise ContractError(f"{path} cannot be read as {kind}: {first_line}") from error
