"""What watching costs: values into counts, memory of a window, labels joined to predictions."""

import json
import resource
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from heliostat.columns import Number
from heliostat.watch.outcomes import join
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows

NUM_COLUMNS, REFERENCE_ROWS, BATCH_ROWS, NUM_BATCHES = 100, 10_000, 10_000, 20
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", tz="UTC")


def measure(*, num_rows: int) -> dict[str, dict[str, float]]:
    """CPU and memory; labels are a tenth of the predictions, which are joined at once."""
    return {**_counting(), **_joining(num_rows)}


def _counting() -> dict[str, dict[str, float]]:
    random = np.random.default_rng(0)
    columns = tuple(Number(f"x{place}", low=-1e9, high=1e9) for place in range(NUM_COLUMNS))
    rows = pa.table({column.name: random.normal(size=BATCH_ROWS) for column in columns})
    rows = rows.append_column("event_at", pa.array([START] * BATCH_ROWS, INSTANT))
    answers = random.random(BATCH_ROWS)
    profile = Profile.fit(rows.slice(0, REFERENCE_ROWS), columns, answers[:REFERENCE_ROWS])
    profile.count(rows, answers)
    started_s = time.process_time()
    for _ in range(NUM_BATCHES):
        profile.count(rows, answers)
    taken_s = time.process_time() - started_s
    windows = Windows(profile, version=1, span=DAY, has_sketches=True)
    windows.add(rows, answers)
    once = len(json.dumps(windows.to_json()))
    started_s = time.process_time()
    for _ in range(99):
        windows.add(rows, answers)
    sketched_s = (time.process_time() - started_s) / 99
    grown = len(json.dumps(windows.to_json()))
    return {
        "values into counts, million per CPU-second": {
            "": NUM_BATCHES * BATCH_ROWS * (NUM_COLUMNS + 1) / taken_s / 1e6
        },
        "values into counts and sketches, million per CPU-second": {
            "": BATCH_ROWS * (NUM_COLUMNS + 1) / sketched_s / 1e6
        },
        "a window of 10^4 rows, 100 columns, counts and sketches, kB stored": {"": once / 1e3},
        "the same window with 10^6 rows, kB stored": {"": grown / 1e3},
    }


def _joining(num_rows: int) -> dict[str, dict[str, float]]:
    random = np.random.default_rng(1)
    ids = np.char.add("p", np.arange(num_rows).astype(f"U{len(str(num_rows))}"))
    event_at = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(num_rows).astype("timedelta64[ms]")
    due_at = pa.array(event_at + np.timedelta64(1, "h")).cast(INSTANT)
    predictions = pa.table({"id": ids, "key": ids, "event_at": pa.array(event_at).cast(INSTANT), "due_at": due_at})
    chosen = random.choice(num_rows, num_rows // 10, replace=False)
    known_at = pa.array(event_at[chosen] + np.timedelta64(2, "h")).cast(INSTANT)
    labels = pa.table(
        {
            "id": ids[chosen],
            "key": ids[chosen],
            "value": random.integers(0, 2, len(chosen)).astype(float),
            "known_at": known_at,
            "received_at": known_at,
        }
    )
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started_s = time.process_time()
    joined = join(predictions, labels, known_by=START + 400 * DAY)
    taken_s = time.process_time() - started_s
    assert joined.table.num_rows == num_rows
    assert joined.num_unknown_labels == 0
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    return {
        f"{num_rows:,} predictions x {len(chosen):,} labels joined, CPU-s": {"": taken_s},
        "the same, memory on top of the tables, MB": {"": grown_kb / 1e3},
    }
