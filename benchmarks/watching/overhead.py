"""What watching adds to a request's CPU: the same requests answered in this process, watched or not.

Either way a replica checks, answers and logs. With watching the answered rows are then counted, sketched and asked
what they expect, joined to labels and scored, as the monitor does. Reading them from the lake is left out: that costs
by the commit, not by the row. A round is a day of 1,000 rows in four commits.
"""

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.trial import asked_ms, body
from heliostat.store.schema import label_schema
from heliostat.watch import answers, outcomes
from heliostat.watch.awaited import Awaited
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows
from tests.integration.predictor_fixture import make_bundle, record, serving
from tests.toy import workload

PAIRS, REQUESTS, COMMIT_ROWS = 12, 1000, 250
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", tz="UTC")


def measure() -> dict[str, dict[str, float]]:
    """CPU of one request of one row, what watching adds to it, and the interval over interleaved pairs."""
    return asyncio.run(_measured())


async def _measured() -> dict[str, dict[str, float]]:
    watch = _Watching()
    with tempfile.TemporaryDirectory() as home:
        bundles = {1: make_bundle(Path(home), "tests.toy", seed=1)}
        async with serving(workload, Path(home), record(bundles)) as served:
            await _round_s(served.app, None)
            off, on = [], []
            for _ in range(PAIRS):
                off.append(await _round_s(served.app, None))
                on.append(await _round_s(served.app, watch))
    request_us, added_us = np.array(off) / REQUESTS * 1e6, (np.array(on) - np.array(off)) / REQUESTS * 1e6
    error_us = added_us.std(ddof=1) / np.sqrt(PAIRS) * 2.2  # Student's t for 11 degrees of freedom
    alone_us = watch.alone_s() / REQUESTS * 1e6
    return {
        f"one request of one row, microseconds of CPU ({PAIRS} pairs of {REQUESTS} requests)": {"": request_us.mean()},
        "watching adds, microseconds": {"": added_us.mean()},
        "  from (95%)": {"": added_us.mean() - error_us},
        "  to": {"": added_us.mean() + error_us},
        "watching alone, microseconds a row": {"": alone_us},
        "watching alone, share of the request's CPU, %": {"": 100 * alone_us / request_us.mean()},
    }


async def _round_s(app: Any, watch: "_Watching | None") -> float:
    started_s = time.process_time()
    for number in range(REQUESTS):
        await asked_ms(app, body(number, 10_000))
    if watch is not None:
        watch.take_in()
    return time.process_time() - started_s


class _Watching:
    """The monitor's work on the rows of one round, given as they lie in the log."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._rows, labels = self._logged(random)
        self._labels = labels
        reference = pa.concat_tables([self._rows] * 20)
        profile = Profile.fit(reference, workload.columns, reference["probability"].to_numpy())
        self._windows = Windows(profile, version=1, span=DAY, has_sketches=True)
        self._answers: dict[int, answers.Answers] = {}
        self._awaited = Awaited()

    def _logged(self, random: np.random.Generator) -> tuple[pa.Table, pa.Table]:
        ids, at = [f"p{number:05}" for number in range(REQUESTS)], pa.array([START] * REQUESTS, INSTANT)
        rows = pa.table(
            {
                "id": ids,
                "key": ids,
                "event_at": at,
                "due_at": pa.array([START + DAY / 2] * REQUESTS, INSTANT),
                "version": [1] * REQUESTS,
                "degraded": [False] * REQUESTS,
                "probability": random.random(REQUESTS),
                "latency_ms": random.random(REQUESTS),
                "load_percent": random.uniform(0, 90, REQUESTS),
                "temperature_c": random.normal(20, 5, REQUESTS),
                "site": random.choice(["alpha", "beta"], REQUESTS),
            }
        )
        told = {"id": ids, "key": ids, "value": random.integers(0, 2, REQUESTS).astype(float), "known_at": at}
        labels = pa.table({**told, "received_at": at})
        return rows, labels.select([name for name in label_schema().names if name in labels.column_names])

    def take_in(self) -> None:
        """A day of so many rows: counted commit by commit, its window closed and its cohort judged once."""
        for since in range(0, REQUESTS, COMMIT_ROWS):
            rows = self._rows.slice(since, COMMIT_ROWS)
            self._answers = answers.count(rows, before=self._answers)
            self._awaited = self._awaited.seen(rows)
            self._windows.add(rows, rows["probability"].to_numpy())
        self._windows.close(START + DAY)
        joined = outcomes.join(self._rows, self._labels, known_by=START + DAY).table
        score_cohort(joined, since=START, until=START + DAY)

    def alone_s(self) -> float:
        """CPU of one round's rows, the mean of many."""
        started_s = time.process_time()
        for _ in range(PAIRS):
            self.take_in()
        return (time.process_time() - started_s) / PAIRS
