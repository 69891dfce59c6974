"""The folder of one long answer: what was asked, and what each attempt answered, through any file system.

A result is whole or not there: it gets its name when all of it is written, and counts when the catalog says so.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs

from heliostat.errors import NotFoundError
from heliostat.tasks import Task


def result_schema(task: Task) -> pa.Schema:
    """The columns of a result: which row, its id and key, what callers are told, and by which version."""
    named = {"row": pa.int64(), "id": pa.string(), "key": pa.string()}
    return pa.schema({**named, **task.told_types, "model_version": pa.int32()})


@dataclass(frozen=True)
class AnswerFolder:
    """One folder; its URI stands in the job's record."""

    uri: str

    @classmethod
    def of(cls, lake_uri: str, workload: str, job_id: str) -> "AnswerFolder":
        """Where the job of that id keeps its files: beside the lake's tables, under a name that no table has."""
        return cls(f"{lake_uri.rstrip('/')}/{workload}/_jobs/{job_id}")

    def put_request(self, digest: str, body: bytes) -> None:
        """What was asked, byte for byte, beside what others ask under the same id: one of them becomes the job."""
        filesystem, root = self._place()
        filesystem.create_dir(root, recursive=True)
        with _appearing(filesystem, f"{root}/{_request(digest)}") as stream:
            stream.write(body)

    def request(self, digest: str) -> bytes:
        """What `put_request` was given with this digest."""
        return self._content(_request(digest))

    def put_pins(self, pins: Sequence[Mapping[str, Any]]) -> None:
        """Which versions of other workloads all attempts ask."""
        filesystem, root = self._place()
        with _appearing(filesystem, f"{root}/{_PINS}") as stream:
            stream.write(json.dumps(list(pins)).encode())

    def pins(self) -> list[dict[str, Any]] | None:
        """What `put_pins` was given, None before."""
        filesystem, root = self._place()
        if filesystem.get_file_info(f"{root}/{_PINS}").type == fs.FileType.NotFound:
            return None
        return list(json.loads(self._content(_PINS)))

    @contextmanager
    def result_writer(self, attempt: int, task: Task) -> Iterator[pa.ipc.RecordBatchStreamWriter]:
        """Writes tables of `result_schema`; the file is there under its name when this ends well."""
        filesystem, root = self._place()
        with (
            _appearing(filesystem, f"{root}/{_result(attempt)}") as stream,
            pa.ipc.new_stream(stream, result_schema(task)) as writer,
        ):
            yield writer

    def put_rejected(self, attempt: int, reason_by_row: Mapping[int, str]) -> None:
        """The rows without an answer, and why."""
        filesystem, root = self._place()
        rejected = [{"row": row, "reason": reason} for row, reason in sorted(reason_by_row.items())]
        with _appearing(filesystem, f"{root}/{_rejected(attempt)}") as stream:
            stream.write(json.dumps(rejected).encode())

    def result(self, attempt: int) -> bytes:
        """The answers of an attempt: an Arrow IPC stream of `result_schema`."""
        return self._content(_result(attempt))

    def rejected(self, attempt: int) -> list[dict[str, Any]]:
        """Row and reason of every row that got no answer."""
        return list(json.loads(self._content(_rejected(attempt))))

    def remove(self) -> None:
        """All of it is gone; no error when it was."""
        filesystem, root = self._place()
        if filesystem.get_file_info(root).type != fs.FileType.NotFound:
            filesystem.delete_dir(root)

    def _content(self, name: str) -> bytes:
        filesystem, root = self._place()
        try:
            with filesystem.open_input_stream(f"{root}/{name}") as stream:
                return bytes(stream.readall())
        except FileNotFoundError as error:
            raise NotFoundError(
                f"The file {name} of the job is not there any more; ask for the answer again."
            ) from error

    def _place(self) -> tuple[fs.FileSystem, str]:
        filesystem, root = fs.FileSystem.from_uri(self.uri)
        return filesystem, root


_PINS = "asked.json"


def _request(digest: str) -> str:
    return f"request-{digest}"


def _result(attempt: int) -> str:
    return f"result-{attempt}.arrows"


def _rejected(attempt: int) -> str:
    return f"rejected-{attempt}.json"


@contextmanager
def _appearing(filesystem: fs.FileSystem, path: str) -> Iterator[Any]:
    folder, name = path.rsplit("/", 1)
    hidden = f"{folder}/.{name}.{uuid.uuid4().hex}"
    with filesystem.open_output_stream(hidden) as stream:
        yield stream
    filesystem.move(hidden, path)
