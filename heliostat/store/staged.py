"""The rows of one run in order of time, as files of small record batches, of which any few can be read alone.

The list of the files is written last: a folder without it holds nothing.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, groupby
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.errors import LakeError
from heliostat.records import PIECE_ROWS, Piece, Record

LIST = "staged.json"
INSTANT = pa.timestamp("us", tz="UTC")
ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class StagedFile(Record):
    """One file: its rows have events from `first_at` to `last_at`; `digest` names its content."""

    name: str
    num_rows: int
    first_at: datetime
    last_at: datetime
    digest: str


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Labelled rows in order of time, numbered from 0, in files of a folder."""

    folder: str
    files: tuple[StagedFile, ...]

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return sum(file.num_rows for file in self.files)

    def at(self, row: int) -> datetime:
        """The event time of a row."""
        return cast(datetime, self.rows(row, row + 1)["event_at"][0].as_py())

    def before(self, instant: datetime) -> int:
        """How many rows are earlier."""
        found = 0
        for file in self.files:
            if file.last_at < instant:
                found += file.num_rows
            elif file.first_at < instant:
                events = _columns(self.folder, file.name, ["event_at"])["event_at"]
                found += int(pc.sum(pc.less(events, pa.scalar(instant, INSTANT))).as_py())
        return found

    def labels_differ(self, first: int, last: int) -> bool:
        """Whether the rows from `first` up to `last` have more than one label; reads only until it knows."""
        known: set[float] = set()
        for file, start in self._starts():
            begin, end = max(first - start, 0), min(last - start, file.num_rows)
            if begin < end:
                labels = _columns(self.folder, file.name, ["label"])["label"].slice(begin, end - begin)
                known.update(pc.unique(labels).to_pylist()[:2])
            if len(known) > 1:
                return True
        return False

    def pieces(self, first: int, last: int) -> tuple[Piece, ...]:
        """The pieces that the rows from `first` up to `last` lie in, cut where those begin and end."""
        return tuple(
            Piece(file=file.name, batch=begin // PIECE_ROWS, start=begin % PIECE_ROWS, num_rows=end - begin)
            for file, start in self._starts()
            for begin, end in _cuts(max(first - start, 0), min(last - start, file.num_rows))
        )

    def rows(self, first: int, last: int) -> pa.Table:
        """The rows from `first` up to `last`, all in memory."""
        return read_pieces(self.pieces(first, last), folder=self.folder)

    def digest(self, first: int, last: int) -> str:
        """Names the content of the rows from `first` up to `last`."""
        told = json.dumps([first, last, *(file.digest for file in self.files)])
        return hashlib.sha256(told.encode()).hexdigest()

    def _starts(self) -> Iterator[tuple[StagedFile, int]]:
        return zip(self.files, accumulate((file.num_rows for file in self.files), initial=0), strict=False)


def write(folder: str, name: str, rows: pa.Table) -> StagedFile:
    """Rows in order of time, as one file; a second time the same one."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    path, made = Path(folder) / name, Path(folder) / f"{name}.{os.getpid()}"
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(made), "wb") as sink, pa.ipc.new_file(sink, rows.schema, options=options) as writer:
        # In one chunk first: a batch ends where a chunk does, and places are counted in whole batches.
        writer.write_table(rows.combine_chunks(), max_chunksize=PIECE_ROWS)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    made.rename(path)
    bounds = pc.min_max(rows["event_at"]).as_py()
    return StagedFile(name=name, num_rows=rows.num_rows, first_at=bounds["min"], last_at=bounds["max"], digest=digest)


def finish(folder: str, files: Sequence[StagedFile]) -> Staged:
    """All files are written; from now on the folder holds these."""
    listed = json.dumps([file.to_json() for file in files])
    made = Path(folder) / f"{LIST}.{os.getpid()}"
    made.write_text(listed)
    made.rename(Path(folder) / LIST)
    return Staged(folder=folder, files=tuple(files))


def opened(folder: str) -> Staged | None:
    """What a folder holds; None when nothing was finished there."""
    path = Path(folder) / LIST
    if not path.exists():
        return None
    return Staged(folder=folder, files=tuple(StagedFile.from_json(each) for each in json.loads(path.read_text())))


def remove(folder: str) -> None:
    """The folder is gone; killed meanwhile, it holds nothing that `opened` would find."""
    (Path(folder) / LIST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: str) -> Iterator[None]:
    """No `sweep` removes the folder meanwhile; it is made where it is not there."""
    place = _made(folder)
    while not _is_held(place, folder):  # removed by a sweep between the two calls
        os.close(place)
        place = _made(folder)
    try:
        yield
    finally:
        os.close(place)


def sweep(root: str, *, now: datetime) -> list[str]:
    """Removes, and names, the folders in `root` that nobody holds and nobody wrote to for ABANDONED_AFTER.

    Left alone is a folder with others in it, which may be held.
    """
    found = []
    for folder in sorted(each for each in Path(root).glob("*") if each.is_dir()):
        with suppress(FileNotFoundError):  # by another sweep
            place = os.open(folder, os.O_RDONLY)
            try:
                is_old = now.timestamp() - os.stat(place).st_mtime > ABANDONED_AFTER.total_seconds()
                if is_old and not any(each.is_dir() for each in folder.iterdir()) and _is_free(place):
                    remove(str(folder))
                    found.append(folder.name)
            finally:
                os.close(place)
    return found


def _made(folder: str) -> int:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return os.open(folder, os.O_RDONLY)


def _is_held(place: int, folder: str) -> bool:
    with suppress(OSError):  # a file system without locks; a sweep gets none there either
        fcntl.flock(place, fcntl.LOCK_SH)
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(place), os.stat(folder))
    return False


def _is_free(place: int) -> bool:
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_pieces(pieces: Sequence[Piece], *, folder: str) -> pa.Table:
    """The rows of these pieces, in this order; of other rows little more than they is read."""
    found = [
        batch
        for name, some in groupby(enumerate(pieces), key=lambda numbered: numbered[1].file)
        for batch in _batches(folder, name, [piece for _, piece in some])
    ]
    return pa.Table.from_batches(found)


def grouped(num_rows_by_day: Mapping[date, int], *, most_rows: int) -> list[tuple[date, date]]:
    """Spans of days, first and last, that have at most so many rows together; a larger day is alone."""
    spans: list[tuple[date, date]] = []
    total = 0
    for day, num_rows in sorted(num_rows_by_day.items()):
        if spans and total + num_rows <= most_rows:
            spans[-1] = (spans[-1][0], day)
            total += num_rows
        else:
            spans.append((day, day))
            total = num_rows
    return spans


def _batches(folder: str, name: str, pieces: Sequence[Piece]) -> list[pa.RecordBatch]:
    try:
        # Not mapped: what is mapped and was read once counts as this process's memory.
        with pa.OSFile(str(Path(folder) / name)) as source, pa.ipc.open_file(source) as reader:
            return [reader.get_batch(one.batch).slice(one.start, one.num_rows) for one in pieces]
    except FileNotFoundError as error:
        raise LakeError(
            f"The rows of this run are gone from {folder} ({name}); start it again under the same name."
        ) from error


def _columns(folder: str, name: str, names: Sequence[str]) -> pa.Table:
    with pa.OSFile(str(Path(folder) / name)) as source:
        with pa.ipc.open_file(source) as reader:
            places = [reader.schema.get_field_index(each) for each in names]
        with pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=places)) as reader:
            return reader.read_all()


def _cuts(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The same span, cut where one piece ends and the next begins."""
    while begin < end:
        until = min(end, (begin // PIECE_ROWS + 1) * PIECE_ROWS)
        yield begin, until
        begin = until
