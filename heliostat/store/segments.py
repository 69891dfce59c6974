"""Write-ahead segments: rows that were acknowledged and are not in the lake yet.

A segment is an Arrow IPC stream file. Its writer holds an exclusive lock on it from before the file can be seen, so a
lock that can be taken proves that the writer closed it or died; age proves nothing.
"""

import fcntl
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pyarrow import ipc

from heliostat.errors import LakeError
from heliostat.store.schema import conform

Kind = Literal["predictions", "shadows", "labels"]
Durability = Literal["process", "power"]

SUFFIX = ".arrows"


class SegmentWriter:
    """Appends batches of one schema to segments of one kind; safe to use from several threads."""

    def __init__(self, directory: Path, kind: Kind, *, schema: pa.Schema, durability: Durability = "process") -> None:
        self._directory = directory
        self._kind = kind
        self._schema = schema
        self._durability = durability
        self._lock = threading.Lock()
        self._file: int | None = None
        self._num_bytes = 0
        self.num_rows = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """The batch survives SIGKILL of this process once this returns ("power": also a power cut)."""
        if not batch.schema.equals(self._schema):
            raise LakeError(
                f"A segment of {self._kind} holds {self._schema.names}; got {batch.schema.names}, "
                "or the same with other types."
            )
        with self._lock:
            if self._file is None:
                self._file = self._open()
            self._write(self._file, memoryview(batch.serialize()))
            self.num_rows += batch.num_rows

    def begin(self) -> None:
        """A segment is open: whoever waits until none is left waits for what is appended to it, too."""
        with self._lock:
            if self._file is None:
                self._file = self._open()

    def rotate(self) -> None:
        """The open segment, if any, is sealed; the next append starts another."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)  # which also gives the lock back
            self._file, self._num_bytes, self.num_rows = None, 0, 0

    def _open(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        # The name sorts by age; the random part keeps writers apart that start in the same nanosecond.
        name = f"{self._kind}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        hidden = self._directory / f".{name}"
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._write(file, memoryview(self._schema.serialize()))
        except LakeError:
            os.close(file)
            hidden.unlink()
            raise
        hidden.rename(self._directory / name)
        if self._durability == "power":
            sync_directory(self._directory)
        return file

    def _write(self, file: int, data: memoryview) -> None:
        rest = data
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
            if self._durability == "power":
                os.fdatasync(file)
        except OSError as error:
            # Half a batch in the middle would hide everything appended after it.
            os.ftruncate(file, self._num_bytes)
            os.lseek(file, self._num_bytes, os.SEEK_SET)
            raise LakeError(
                f"A segment in {self._directory} cannot be written: {error}. The rows were not acknowledged; "
                "free space on that disk."
            ) from error
        self._num_bytes += len(data)


def sealed(directory: Path, kind: Kind) -> list[Path]:
    """The segments whose writer closed them or died, oldest first."""
    return [path for path in sorted(directory.glob(f"{kind}-*{SUFFIX}")) if _is_unlocked(path)]


def _is_unlocked(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def read(path: Path, schema: pa.Schema) -> pa.Table:
    """All complete batches, with the columns of `schema`; a last one cut short was not acknowledged and is left out."""
    data = path.read_bytes()
    source = pa.BufferReader(data)
    batches: list[pa.RecordBatch] = []
    try:
        with ipc.open_stream(source) as reader:
            batches.extend(reader)
    except (pa.ArrowInvalid, OSError) as error:
        if source.tell() < len(data):
            raise LakeError(
                f"The segment {path} is damaged at byte {source.tell()} of {len(data)}: {error}. "
                "It holds acknowledged rows; restore or repair it, or move it away to give them up."
            ) from error
    return conform(pa.Table.from_batches(batches), schema) if batches else schema.empty_table()


def remove(path: Path) -> None:
    """The segment is gone; no error when it was already."""
    path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Names made, changed or removed in the directory survive a power cut."""
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
