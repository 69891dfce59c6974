"""Late labels joined to the predictions of a lake, day by day: CPU and peak memory, in a process of their own."""

import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat import cohorts
from heliostat.ids import prediction_ids
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema
from heliostat.watch.cohorts import score_cohort

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NUM_DAYS, SHARE = 10, 0.1  # days of predictions, and the share that gets a label
INSTANT = pa.timestamp("us", tz="UTC")


def measure(*, num_rows: int) -> dict[str, dict[str, float]]:
    """Every prediction falls due a day later; each day's cohort is read, joined with its labels, and scored."""
    with tempfile.TemporaryDirectory() as home:
        _alone(_fill, Path(home), num_rows // NUM_DAYS)
        found = _alone(_judge, Path(home))
    assert found["labelled"] == num_rows // NUM_DAYS * NUM_DAYS * SHARE
    title = f"{num_rows:,} predictions x {found['labelled']:,.0f} late labels of a lake"
    return {
        f"{title}, {NUM_DAYS} cohorts, CPU-s": {"": found["cpu_s"]},
        "the same, peak resident memory of the process, MB": {"": found["peak_mb"]},
        "the same, memory before the first cohort, MB": {"": found["before_mb"]},
    }


def _alone(function: Any, *arguments: Any) -> Any:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _fill(home: Path, rows_a_day: int) -> None:
    lake, random = Lake(str(home)), np.random.default_rng(0)
    step = DAY / rows_a_day
    for day in range(NUM_DAYS):
        since = START + day * DAY
        event_at = [since + place * step for place in range(rows_a_day)]
        ids, at = np.array(prediction_ids(f"day {day}", event_at)), pa.array(event_at, INSTANT)
        due_at = pa.array([one + DAY for one in event_at], INSTANT)
        fixed = {"version": 1, "degraded": False, "arm": "champion"}
        rows = pa.table(
            {"id": ids, "key": ids, "event_at": at, "due_at": due_at, "probability": random.random(rows_a_day)}
        )
        for name, value in fixed.items():
            rows = rows.append_column(name, pa.array([value] * rows_a_day))
        _append(lake, "predictions", rows, prediction_schema(()), day=day)
        chosen = random.choice(rows_a_day, int(rows_a_day * SHARE), replace=False)
        values = random.integers(0, 2, len(chosen)).astype(float)
        known_at = pa.array([event_at[place] + DAY / 2 for place in chosen], INSTANT)
        labels = pa.table({"id": ids[chosen], "value": values, "known_at": known_at, "received_at": known_at})
        _append(lake, "labels", labels, label_schema(), day=day)


def _append(lake: Lake, table: str, rows: pa.Table, schema: pa.Schema, *, day: int) -> None:
    dates = pa.array([(START + day * DAY).date()] * rows.num_rows, pa.date32())
    lake.append("bench", table, conform(rows.append_column("event_date", dates), schema), stream="r", sequence=day)


def _judge(home: Path) -> dict[str, float]:
    lake, labelled = Lake(str(home)), 0
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    started_s = time.process_time()
    for day in range(1, NUM_DAYS + 1):
        since = START + day * DAY
        rows = cohorts.due(lake, "bench", (), since=since, until=since + DAY, longest_due=DAY)
        (score,) = score_cohort(rows, since=since, until=since + DAY).score_by_version.values()
        labelled += score.num_labelled
    return {
        "cpu_s": time.process_time() - started_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "before_mb": before_mb,
        "labelled": labelled,
    }
