"""Bring the rows of the source, as they were known at `--until`, into the lake.

Reads:  the workload's source
Writes: lake: raw, rejected

Each run takes the span from where the last one ended; a span that was taken is never taken again, because the
commit carries its end as a Delta transaction.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from ray.data import TaskPoolStrategy
from ray.exceptions import RayError

from cluster import resources
from heliostat.errors import ClusterError, HeliostatError, WorkloadError
from heliostat.intake import take
from heliostat.learn.faults import RAISED, said
from heliostat.store.schema import raw_schema, rejected_schema
from heliostat.workload import Workload, load
from jobs import _entry, _room
from jobs._scoring import cause

STREAM = "ingest"


def ingest(job: _entry.Job) -> _entry.Result:
    """Take every row up to `--until` that was not taken before."""
    name, until = job.workload.name, job.options.until
    taken_until = job.lake.last_sequence(name, "raw", stream=STREAM)
    since = None if taken_until is None else datetime.fromtimestamp(taken_until, UTC)
    if since is not None and since >= until:
        return {"rows": 0, "rejected": 0, "raw_version": job.lake.version(name, "raw"), "already_until": since}
    good, rejected = _read(job, since=since, until=until)
    sequence = int(until.timestamp())
    # The rejected first: once the good rows are in, this span is never looked at again.
    job.lake.append(name, "rejected", rejected, stream=STREAM, sequence=sequence)
    job.lake.append(name, "raw", good, stream=STREAM, sequence=sequence)
    result = {
        "since": since,
        "until": until,
        "rows": good.num_rows,
        "rejected": rejected.num_rows,
        "raw_version": job.lake.version(name, "raw"),
    }
    payload = json.loads(json.dumps(result, default=str))
    job.catalog.append("ingested", name, payload, by=job.by, at=datetime.now(UTC))
    return result


def _read(job: _entry.Job, *, since: datetime | None, until: datetime) -> tuple[pa.Table, pa.Table]:
    _room.say_if_full(num_cpus=resources.INGEST_READ_CPUS)
    parts = list(job.workload.source.parts())
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map_batches(
        partial(_read_part, module=job.module, since=since, until=until),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=resources.INGEST_READ_CPUS,
        # No more parts in memory at once than there are CPUs, however little of one each read asks for.
        compute=TaskPoolStrategy(size=max(1, int(ray.cluster_resources().get("CPU", 1)))),  # type: ignore[no-untyped-call]
    )
    try:
        rows = pa.concat_tables(list(dataset.iter_batches(batch_size=None, batch_format="pyarrow")))
    except RayError as error:
        raise cause(error) or ClusterError(f"The source could not be read: {error}") from error
    is_good = pc.is_null(rows["reason"])
    good = rows.filter(is_good).select(raw_schema(job.workload.columns).names)
    rejected = rows.filter(pc.invert(is_good)).select(rejected_schema().names)
    return good.cast(raw_schema(job.workload.columns)), rejected.cast(rejected_schema())


def _read_part(batch: pa.Table, *, module: str, since: datetime | None, until: datetime) -> pa.Table:
    """One part, good and rejected rows in one table of one schema; `reason` is null for the good ones."""
    workload = load(module)
    tables = []
    for part in batch["part"].to_pylist():
        intake = take(workload, _rows_of(workload, part), since=since, until=until)
        tables += [_good(intake.good), _rejected(intake.rejected)]
    table = pa.concat_tables(tables)
    return table.append_column("event_date", table["event_at"].cast(pa.date32()))


def _rows_of(workload: Workload, part: str) -> pa.Table:
    try:
        return workload.source.read(part)
    except HeliostatError:
        raise
    except RAISED as error:
        told = said(f"the source's part {part!r}", workload, error)
        raise WorkloadError(f"{told}. Mend it there, and ingest again; nothing of this span was taken.") from error


def _good(rows: pa.Table) -> pa.Table:
    nothing = pa.nulls(rows.num_rows, pa.string())
    return rows.append_column("reason", nothing).append_column("row", nothing)


def _rejected(rows: pa.Table) -> pa.Table:
    as_json = [json.dumps(row, default=str) for row in rows.drop_columns(["reason"]).to_pylist()]
    return rows.append_column("row", pa.array(as_json, pa.string()))


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--until", type=_entry.instant, required=True, help="take what was known at this instant")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(ingest, arguments()))
