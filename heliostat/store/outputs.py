"""Tables that a job makes: every file is written first, and one last small write makes the table be there.

A Delta table is committed to its log. A folder of Parquet files is renamed into its place, which only a file system
can do at once; an object store takes Delta.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyarrow import fs

from heliostat.errors import LakeError

Format = Literal["delta", "parquet"]
Mode = Literal["error", "append", "overwrite"]
REJECTED = "_rejected"  # readers of Parquet and Delta pass over names that begin so
_MARK = "_heliostat.json"
_RUN, _STREAM = "heliostat.run", "heliostat/score"
_MAX_TRIES = 5
_MAX_HISTORY = 10_000


@dataclass(frozen=True, kw_only=True)
class Written:
    """One data file, not yet part of any table."""

    path: str
    num_rows: int
    num_bytes: int
    stats: str
    modified_at_ms: int


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run's table goes; a plain value, so it pickles. Not two runs may write a folder of Parquet at once."""

    uri: str
    kind: Format
    mode: Mode = "error"

    def refuse(self, run_id: str) -> None:
        """LakeError when the table is there, is not this run's, and the mode does not say what to do with it."""
        filesystem, root = _place(self.uri)
        if self.kind == "parquet" and filesystem.type_name not in ("local", "hdfs"):
            raise LakeError(f"{self.uri} lies in an object store, which cannot rename a folder at once; write Delta.")
        if self.kind == "parquet" and self.mode == "append":
            raise LakeError("A folder of Parquet is written whole, so nothing can be appended to it; write Delta.")
        if self.mode == "error" and self._exists(filesystem, root) and self.committed(run_id) is None:
            raise LakeError(f"{self.uri} is there already; give --overwrite, --append (Delta) or another --output.")

    def write(self, run_id: str, table: pa.Table, *, rejected: bool = False) -> Written:
        """The rows in a file of its own, which no reader of the table sees yet."""
        filesystem, root = _place(self._folder(run_id))
        name = f"{_safe(run_id)}-{uuid.uuid4().hex}.parquet"
        relative = f"{REJECTED}/{name}" if rejected else name
        filesystem.create_dir(f"{root}/{REJECTED}" if rejected else root, recursive=True)
        with filesystem.open_output_stream(f"{root}/{relative}") as stream:
            pq.write_table(table, stream)
        info = filesystem.get_file_info(f"{root}/{relative}")
        return Written(
            path=relative,
            num_rows=table.num_rows,
            num_bytes=info.size,
            stats=_stats(table),
            modified_at_ms=(info.mtime_ns or 0) // 1_000_000,
        )

    def commit(self, run_id: str, files: Sequence[Written], *, schema: pa.Schema, rejected: Sequence[Written]) -> int:
        """The table holds exactly these files of the run, once; the number of its version (0 for Parquet)."""
        if self.kind == "parquet":
            return self._rename(run_id, [*files, *rejected], schema)
        for _ in range(_MAX_TRIES):
            before = self.committed(run_id)
            if before is not None:
                return before
            try:
                self._commit(run_id, files, schema)
            except CommitFailedError:
                continue  # somebody committed meanwhile; perhaps another attempt of this run
            except DeltaError as error:
                raise LakeError(f"{self.uri}: the answers cannot be committed: {error}. Nothing was added.") from error
        raise LakeError(f"{self.uri}: others changed the table during {_MAX_TRIES} tries to commit; try again.")

    def committed(self, run_id: str) -> int | None:
        """The version of the table with which the run's rows came in; None when they are not there."""
        if self.kind == "parquet":
            return 0 if _mark(self.uri) == run_id else None
        table = _delta(self.uri)
        # The newest first; a run that is older than the log's retention has left the catalog's record only.
        history = [] if table is None else table.history(_MAX_HISTORY)
        return next((int(commit["version"]) for commit in history if commit.get(_RUN) == run_id), None)

    def rows(self, identifier: str, *, version: int | None = None) -> pa.Table:
        """The rows with that id, of the version named; without any when the table is not there any more."""
        try:
            if self.kind == "delta":
                dataset = DeltaTable(self.uri, version=version).to_pyarrow_dataset()
            else:
                filesystem, root = _place(self.uri)
                dataset = ds.dataset(root, filesystem=filesystem, format="parquet")
            return dataset.to_table(filter=ds.field("id") == identifier)
        except (DeltaError, OSError, pa.ArrowInvalid):
            return pa.table({})

    def as_json(self) -> dict[str, Any]:
        """The three values, for a record."""
        return asdict(self)

    def _folder(self, run_id: str) -> str:
        return self.uri if self.kind == "delta" else f"{self.uri.rstrip('/')}.partial-{_safe(run_id)}"

    def _exists(self, filesystem: fs.FileSystem, root: str) -> bool:
        if self.kind == "delta":
            return _delta(self.uri) is not None
        return bool(filesystem.get_file_info(root).type != fs.FileType.NotFound)

    def _commit(self, run_id: str, files: Sequence[Written], schema: pa.Schema) -> None:
        actions = [AddAction(f.path, f.num_bytes, {}, f.modified_at_ms, True, f.stats) for f in files]
        table = _delta(self.uri)
        if table is None:
            create_table_with_add_actions(
                self.uri, Schema.from_arrow(schema), actions, commit_properties=_properties(run_id, 1)
            )
            return
        if pa.schema(table.schema().to_arrow()).names != schema.names and self.mode == "append":
            raise LakeError(f"{self.uri} has other columns than these answers; write to another table.")
        properties = _properties(run_id, 1 + (table.transaction_version(_STREAM) or 0))
        mode = "overwrite" if self.mode == "overwrite" else "append"
        table.create_write_transaction([*actions], mode, Schema.from_arrow(schema), commit_properties=properties)

    def _rename(self, run_id: str, files: Sequence[Written], schema: pa.Schema) -> int:
        if self.committed(run_id) is not None:
            return 0
        filesystem, root = _place(self.uri)
        _, partial = _place(self._folder(run_id))
        filesystem.create_dir(partial, recursive=True)
        _keep_only(filesystem, partial, {file.path for file in files})
        if not files:
            pq.write_table(schema.empty_table(), f"{partial}/empty.parquet", filesystem=filesystem)
        with filesystem.open_output_stream(f"{partial}/{_MARK}") as stream:
            stream.write(json.dumps({"run_id": run_id}).encode())
        replaced = f"{root}.replaced-{_safe(run_id)}"
        if self.mode == "overwrite" and filesystem.get_file_info(root).type != fs.FileType.NotFound:
            filesystem.move(root, replaced)
        filesystem.move(partial, root)
        if filesystem.get_file_info(replaced).type != fs.FileType.NotFound:
            filesystem.delete_dir(replaced)
        return 0


def _place(uri: str) -> tuple[fs.FileSystem, str]:
    filesystem, root = fs.FileSystem.from_uri(uri)
    return filesystem, root.rstrip("/")


def _delta(uri: str) -> DeltaTable | None:
    try:
        return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None
    except DeltaError as error:
        raise LakeError(f"The table {uri} cannot be read: {error}") from error


def _mark(uri: str) -> str | None:
    filesystem, root = _place(uri)
    try:
        with filesystem.open_input_stream(f"{root}/{_MARK}") as stream:
            return str(json.loads(stream.readall())["run_id"])
    except (FileNotFoundError, NotADirectoryError):
        return None


def _keep_only(filesystem: fs.FileSystem, folder: str, kept: set[str]) -> None:
    """An attempt that was killed left files that nobody counts."""
    for info in filesystem.get_file_info(fs.FileSelector(folder, recursive=True)):
        if info.is_file and info.path.removeprefix(f"{folder}/") not in kept:
            filesystem.delete_file(info.path)


def _properties(run_id: str, sequence: int) -> CommitProperties:
    return CommitProperties(custom_metadata={_RUN: run_id}, app_transactions=[Transaction(_STREAM, sequence)])


def _stats(table: pa.Table) -> str:
    """What lets a reader that looks for one id pass over the file."""
    if "id" not in table.column_names or not table.num_rows:
        return json.dumps({"numRecords": table.num_rows})
    ends: Mapping[str, Any] = pa.compute.min_max(table["id"]).as_py()
    return json.dumps(
        {
            "numRecords": table.num_rows,
            "minValues": {"id": ends["min"]},
            "maxValues": {"id": ends["max"]},
            "nullCount": {"id": 0},
        }
    )


def _safe(run_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in run_id)
