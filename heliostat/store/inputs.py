"""Tables that others wrote, opened at one state and read piece by piece: Parquet, CSV or Delta, on disk or by URI."""

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray
from pyarrow import fs

from heliostat.errors import LakeError
from heliostat.store.filters import OPERATOR_BY_NAME, expression

ROWS_PER_PIECE = 65_536
ROWS_PER_PART = 1_000_000  # of a Parquet file that is cut into several parts
_CUT_BELOW_FILES = 16  # opening every file to see how long it is pays only where there are few


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file, or some row groups of one; pickles, so that it can be read elsewhere."""

    number: int
    path: str
    fragment: bytes
    schema: pa.Schema
    max_rows: int | None = None

    def pieces(
        self, columns: Sequence[str], where: Sequence[str] = (), *, rows_per_piece: int = ROWS_PER_PIECE
    ) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        """The rows that meet every filter, in order, each piece with the numbers of its rows in this part."""
        # Packed by `open_input` in the same program: never bytes from elsewhere.
        fragment: ds.Fragment = pickle.loads(self.fragment)
        scanner = fragment.scanner(
            schema=self.schema, columns=list(columns), filter=filter_of(where, self.schema), batch_size=rows_per_piece
        )
        start, left = 0, self.max_rows
        for batch in scanner.to_batches():
            taken = batch if left is None else batch.slice(0, left)
            if taken.num_rows:
                yield np.arange(start, start + taken.num_rows), pa.table(taken)
            start, left = start + taken.num_rows, None if left is None else left - taken.num_rows
            if left == 0:
                return


@dataclass(frozen=True, kw_only=True)
class Input:
    """A table as it was when it was opened; `state` changes whenever its rows may have."""

    uri: str
    state: str
    schema: pa.Schema
    parts: tuple[Part, ...]

    def first(self, max_rows: int, where: Sequence[str]) -> "Input":
        """The first rows alone, in the order of the parts; counts them, which reads the columns of `where`."""
        kept, left = [], max_rows
        for part in self.parts:
            if left == 0:
                break
            fragment: ds.Fragment = pickle.loads(part.fragment)
            scanner = fragment.scanner(schema=self.schema, filter=filter_of(where, self.schema))
            num_rows = min(left, scanner.count_rows())
            if num_rows:
                kept.append(Part(**{**vars(part), "max_rows": num_rows}))
            left -= num_rows
        return Input(uri=self.uri, state=self.state, schema=self.schema, parts=tuple(kept))


def open_input(uri: str, *, version: int | None = None, as_text: Sequence[str] = ()) -> Input:
    """The table at a path or URI; LakeError when there is none that can be read.

    A Delta table is read at `version`, its newest when None. Of CSV files the columns `as_text` stay text: whoever
    reads them checks each cell.
    """
    place = uri if "://" in uri else str(Path(uri).expanduser().resolve())
    try:
        filesystem, root = fs.FileSystem.from_uri(place)
        is_folder = not filesystem.get_file_info(root).is_file
        if is_folder and DeltaTable.is_deltatable(place):
            table = DeltaTable(place, version=version)
            return _opened(uri, f"delta/{table.version()}", table.to_pyarrow_dataset())
        if version is not None:
            raise LakeError(f"{uri} is no Delta table, so it has no version {version}.")
        return _files(uri, filesystem, root, as_text=as_text)
    except (DeltaError, OSError, pa.ArrowException, ValueError) as error:
        why = str(error).partition("\n")[0][:300]
        raise LakeError(f"The input {uri} cannot be read: {why}. Give Parquet, CSV or a Delta table.") from error


def filter_of(where: Sequence[str], schema: pa.Schema) -> pc.Expression | None:
    """What a row must meet: every one of the texts such as `site=alpha` or `load_percent>=50`; None for none."""
    return expression([_parsed(text, schema) for text in where])


def _parsed(text: str, schema: pa.Schema) -> tuple[str, str, object]:
    for sign in sorted((name for name in OPERATOR_BY_NAME if name != "in"), key=len, reverse=True):
        name, found, value = text.partition(sign)
        if found:
            name, value = name.strip(), value.strip()
            break
    else:
        raise LakeError(f"A filter looks like site=alpha or load_percent>=50; got {text!r}.")
    if name not in schema.names:
        raise LakeError(f"The filter {text!r} names no column of the input; it has {', '.join(schema.names)}.")
    kind = schema.field(name).type
    try:
        return name, sign, pa.scalar(value).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LakeError(f"The filter {text!r} compares with {value!r}, which is no {kind}.") from error


def _files(uri: str, filesystem: fs.FileSystem, root: str, *, as_text: Sequence[str]) -> Input:
    format_ = _csv(as_text) if _is_csv(filesystem, root) else ds.ParquetFileFormat()
    found = ds.dataset(root, filesystem=filesystem, format=format_, partitioning="hive")
    infos = filesystem.get_file_info(sorted(found.files))
    listing = "\n".join(f"{info.path} {info.size} {info.mtime_ns}" for info in infos)
    return _opened(uri, f"files/{hashlib.sha256(listing.encode()).hexdigest()[:16]}", found)


def _is_csv(filesystem: fs.FileSystem, root: str) -> bool:
    info = filesystem.get_file_info(root)
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(f"there is nothing at {root}")
    infos = [info] if info.is_file else filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    extensions = {each.extension for each in infos if each.is_file and not each.base_name.startswith((".", "_"))}
    return extensions == {"csv"}


def _csv(as_text: Sequence[str]) -> ds.CsvFileFormat:
    kinds = {name: pa.string() for name in as_text}
    return ds.CsvFileFormat(convert_options=pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))


def _opened(uri: str, state: str, dataset: ds.Dataset) -> Input:
    fragments = sorted(dataset.get_fragments(), key=lambda fragment: fragment.path)
    cut = [piece for fragment in fragments for piece in _cut(fragment, alone=len(fragments) >= _CUT_BELOW_FILES)]
    parts = [
        Part(number=number, path=fragment.path, fragment=pickle.dumps(fragment), schema=dataset.schema)
        for number, fragment in enumerate(cut)
    ]
    return Input(uri=uri, state=state, schema=dataset.schema, parts=tuple(parts))


def _cut(fragment: ds.Fragment, *, alone: bool) -> list[ds.Fragment]:
    """A long Parquet file in several parts, so that they can be read side by side."""
    if alone or not isinstance(fragment, ds.ParquetFileFragment):
        return [fragment]
    groups: list[list[int]] = [[]]
    num_rows = 0
    for group in range(fragment.metadata.num_row_groups):
        if num_rows >= ROWS_PER_PART:
            groups.append([])
            num_rows = 0
        groups[-1].append(group)
        num_rows += fragment.metadata.row_group(group).num_rows
    return [fragment] if len(groups) == 1 else [fragment.subset(row_group_ids=ids) for ids in groups]
