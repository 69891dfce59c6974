"""The simulated loop on real tables: flights, hotel bookings with their real label delay, rentals of bicycles.

    python -m benchmarks.simulate_tables --data DIR --out tables.jsonl

DIR holds hotel_bookings/stream.parquet and bike_sharing/stream.parquet. One line of JSON a table, as `jobs.simulate
--json` has it; a table that is in the file is not played again. The figures are made from all lines.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from benchmarks.simulate_streams import rendered
from heliostat.simulate.comparison import compare
from heliostat.simulate.table import Roles, prepare
from jobs._simulation_learner import Trees
from jobs._simulation_text import as_json
from jobs._simulation_trees import one_thread
from workloads.flights_source import Flights

# Bookings were collected by day of arrival: before and after, only those made long or shortly before are in the table.
BOOKED = (datetime(2015, 7, 1), datetime(2017, 5, 1))  # noqa: DTZ001 (the table's times have no zone)


def _bookings(data: Path) -> tuple[pa.Table, Roles]:
    table = parquet.ParquetFile(data / "hotel_bookings" / "stream.parquet").read()
    since, until = (pa.scalar(at, table["event_time"].type) for at in BOOKED)
    kept = pc.and_(pc.greater_equal(table["event_time"], since), pc.less(table["event_time"], until))
    return table.filter(kept), Roles(label="target", event_time="event_time", label_time="label_time")


def _rentals(data: Path) -> tuple[pa.Table, Roles]:
    return parquet.ParquetFile(data / "bike_sharing" / "stream.parquet").read(), Roles(
        label="target", task="regression"
    )


def _flights(_: Path) -> tuple[pa.Table, Roles]:
    source = Flights()
    table = pa.concat_tables([source.read(part) for part in source.parts()]).drop_columns(["due_at"])
    roles = Roles(label="late", event_time="scheduled_departure_at", label_time="label_known_at", key="flight")
    return table, roles


TABLES: Mapping[str, Callable[[Path], tuple[pa.Table, Roles]]] = {
    "bike_sharing": _rentals,
    "hotel_bookings": _bookings,
    "flights": _flights,
}


def play(name: str, *, data: Path, max_rows: int) -> dict[str, Any]:
    """All policies on one table, of which at most so many rows are played, evenly chosen."""
    table, roles = TABLES[name](data)
    prepared = prepare(table, roles, first=0.2, max_rows=max_rows)
    stream = prepared.stream
    learner = Trees(stream.columns, task=stream.task)
    with one_thread():
        found = compare(stream, learner, clock=time.process_time, tell=lambda _: None)
    return {"kind": name, **as_json(found, remarks=prepared.remarks)}


def main(argv: Sequence[str] | None = None) -> int:
    """Play what is not played yet, and print the figures."""
    options = _arguments().parse_args(argv)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    played = [json.loads(line) for line in lines]
    for name in options.tables:
        if any(one["kind"] == name for one in played):
            continue
        played.append(play(name, data=options.data, max_rows=options.rows))
        with options.out.open("a") as file:
            file.write(json.dumps(played[-1]) + "\n")
        print(f"{name} is played", file=sys.stderr, flush=True)
    print("\n".join(rendered(played)))
    return 0


def _arguments() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="the folder with the tables")
    made.add_argument("--out", type=Path, required=True, help="one line of JSON a table")
    made.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    made.add_argument("--rows", type=int, default=20_000, help="of longer tables so many rows are played")
    return made


if __name__ == "__main__":
    sys.exit(main())
