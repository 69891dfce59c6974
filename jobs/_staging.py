"""The rows of a run written to files in order of time, by Ray Data, for workers that stream them.

A task holds the rows of some days: memory is bounded by what MOST_ROWS rows take, or the largest day, for each of the
few tasks that run at once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import TaskPoolStrategy

from cluster import resources
from heliostat.errors import HeliostatError, TrainingError
from heliostat.learn.tuned import configured
from heliostat.store import staged
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema
from heliostat.store.staged import Staged, StagedFile
from heliostat.workload import Workload, load
from jobs._fit_run import FitRun, known_rows, pinned

MOST_ROWS = 500_000
WRITTEN = pa.schema(
    [
        ("name", pa.string()),
        ("num_rows", pa.int64()),
        ("first_at", pa.string()),
        ("last_at", pa.string()),
        ("digest", pa.string()),
        ("error", pa.string()),
    ]
)
Days = tuple[date, date]
Spread = Callable[[Sequence[Days], FitRun], Iterable[dict[str, Any]]]


def by_ray_data(spans: Sequence[Days], run: FitRun) -> Iterable[dict[str, Any]]:
    """The written files of all spans, written anywhere in the cluster."""
    items = [{"first": first.isoformat(), "last": last.isoformat()} for first, last in spans]
    written = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_written, run=run),
        batch_size=1,
        batch_format="numpy",
        num_cpus=resources.STAGE_CPUS,
        compute=TaskPoolStrategy(size=min(resources.STAGE_TASKS, len(items))),
    )
    return written.iter_rows()


def here(spans: Sequence[Days], run: FitRun) -> Iterator[dict[str, Any]]:
    """The same in this process, one span after the other."""
    return (row for days in spans for row in _rows(_write(run, days)))


def stage(run: FitRun, workload: Workload, *, spread: Spread = by_ray_data) -> Staged:
    """The rows of a run as files; those of an earlier attempt of that name where they are whole.

    TrainingError where there are none, or they cannot be read.
    """
    folder = _folder(run)
    found = staged.opened(folder)
    if found is not None:
        return found
    spans = _spans(run, workload)
    files = [_file(row) for row in spread(spans, run)] if spans else []
    if not files:
        raise TrainingError(
            "No row has a label that was due and known by then, so nothing can be learned or judged. "
            "Ingest more, or choose a later instant."
        )
    return staged.finish(folder, sorted(files, key=lambda file: file.first_at))


def opened(run: FitRun) -> Staged:
    """What `stage` wrote for a run."""
    found = staged.opened(_folder(run))
    if found is None:
        raise TrainingError(f"The rows of the run {run.run_id!r} were not staged; start it with jobs.train.")
    return found


def unstage(run: FitRun) -> None:
    """Removes the files of a run that is over."""
    staged.remove(_folder(run))


def _folder(run: FitRun) -> str:
    if run.rows_dir is None:
        raise TrainingError(f"The run {run.run_id!r} names no folder for its rows; start it with jobs.train.")
    return run.rows_dir


def _spans(run: FitRun, workload: Workload) -> list[Days]:
    """Which days are written together; all of them where labels name keys, which may be of any day."""
    lake, versions = Lake(run.lake_uri), pinned(run)
    counts: Counter[date] = Counter()
    for table in ("raw", "predictions"):
        counts.update(lake.num_rows_by_day(workload.name, table, version=versions.get(table)))
    if not counts:
        return []
    where = [("id", "is", None)]
    by_key = lake.read(workload.name, "labels", where=where, version=versions.get("labels"), schema=label_schema())
    if by_key.num_rows:
        return [(min(counts), max(counts))]
    return staged.grouped(counts, most_rows=MOST_ROWS)


def _written(batch: dict[str, np.ndarray], *, run: FitRun) -> pa.Table:
    (first,), (last,) = batch["first"], batch["last"]
    try:
        found = _rows(_write(run, (date.fromisoformat(first), date.fromisoformat(last))))
    # Told, not raised: Ray Data puts an error of its own in its place.
    except HeliostatError as error:
        found = [{"error": str(error)}]
    except (OSError, MemoryError) as error:
        found = [{"error": f"The rows of {first} to {last} could not be put on files: {type(error).__name__}: {error}"}]
    return pa.Table.from_pylist(found, schema=WRITTEN)


def _file(row: dict[str, Any]) -> StagedFile:
    """What a task has written."""
    if row.get("error") is not None:
        raise TrainingError(row["error"])
    return StagedFile.from_json({name: value for name, value in row.items() if name != "error"})


def _rows(file: StagedFile | None) -> list[dict[str, Any]]:
    return [] if file is None else [file.to_json()]


def _write(run: FitRun, days: Days) -> StagedFile | None:
    """The rows of these days as one file; None where there are none."""
    rows = known_rows(run, configured(load(run.module), run.configuration), days=days)
    return staged.write(_folder(run), f"{days[0]}.arrow", rows) if rows.num_rows else None
