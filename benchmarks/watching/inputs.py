"""Streams of inputs: ten columns, of which one moves."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import river.drift
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from benchmarks.watching.labels import index
from heliostat.columns import Number
from heliostat.triggers import Drift, Trigger
from heliostat.watch.events import ChampionChanged, Retrain
from heliostat.watch.monitor import MonitorState
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows

Values = NDArray[np.float64]
NUM_COLUMNS, REFERENCE_ROWS, WINDOW_ROWS = 10, 20_000, 1000
COLUMNS = tuple(Number(f"x{place}", low=-1e9, high=1e9) for place in range(NUM_COLUMNS))
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RHOS = (0.0, 0.9, 0.99)
SHIFTS = {"0.1 sd": 0.1, "0.2 sd": 0.2, "0.5 sd": 0.5, "1 sd": 1.0}
SHIFTED_ROWS = 20_000
DRIFT = Drift()


def stream(num_rows: int, *, rho: float, seed: int, change_at: int | None = None, shift: float = 0.0) -> Values:
    """Normal columns of mean 0 and deviation 1, shape (num_rows, 10); the first moves by `shift` at the change."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(num_rows + 2000, NUM_COLUMNS))
    rows = np.asarray(lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=0))[2000:]
    if change_at is not None:
        rows[change_at:, 0] += shift
    return rows


def ours(
    rows: Values, *, trigger: Trigger = DRIFT, together: Sequence[str] = (), reference_rows: int = REFERENCE_ROWS
) -> Iterator[int]:
    """The rows after which the live monitor asks for a turn; after each it starts anew."""
    profile = Profile.fit(
        told(rows, 0, reference_rows), COLUMNS, np.zeros(reference_rows), window=DAY, together=together
    )
    state, version = MonitorState([trigger]), 1
    windows = Windows(profile, version=version, span=DAY)
    state.handle(ChampionChanged(at=START, version=version, trained_until=START))
    for row in range(reference_rows, len(rows) - WINDOW_ROWS + 1, WINDOW_ROWS):
        until = START + (row // WINDOW_ROWS + 1) * DAY
        windows.add(told(rows, row, WINDOW_ROWS), np.zeros(WINDOW_ROWS))
        if any(isinstance(one, Retrain) for closed in windows.close(until) for one in state.handle(closed)):
            yield row + WINDOW_ROWS
            version += 1
            windows = Windows(profile, version=version, span=DAY)
            state.handle(ChampionChanged(at=until, version=version, trained_until=until))


def told(rows: Values, since: int, num_rows: int) -> pa.Table:
    """So many of the rows from one on, as they lie in the log; a window is a day."""
    places = (np.arange(since, since + num_rows) // WINDOW_ROWS).astype("timedelta64[D]")
    at = pa.array(np.datetime64(START.replace(tzinfo=None), "us") + places).cast(pa.timestamp("us", tz="UTC"))
    arrays = {column.name: rows[since : since + num_rows, place] for place, column in enumerate(COLUMNS)}
    return pa.table(arrays).append_column("event_at", at)


def windowed(is_drift: Callable[[Values, Values], bool]) -> Callable[[Values], Iterator[int]]:
    """A test of each column of each window against the reference; one is enough."""

    def watch(rows: Values) -> Iterator[int]:
        reference = rows[:REFERENCE_ROWS]
        for row in range(REFERENCE_ROWS, len(rows) - WINDOW_ROWS + 1, WINDOW_ROWS):
            current = rows[row : row + WINDOW_ROWS]
            if any(is_drift(reference[:, place], current[:, place]) for place in range(NUM_COLUMNS)):
                yield row + WINDOW_ROWS

    return watch


def adwin(rows: Values) -> Iterator[int]:
    """River's ADWIN on each column, its confidence divided by their number."""
    detectors = [river.drift.ADWIN(delta=0.002 / NUM_COLUMNS) for _ in range(NUM_COLUMNS)]
    for number, row in enumerate(rows.tolist(), start=1):
        is_drift = False
        for detector, value in zip(detectors, row, strict=True):
            detector.update(value)
            is_drift |= detector.drift_detected
        if is_drift and number > REFERENCE_ROWS:
            yield number


DETECTORS: dict[str, Callable[[Values], Iterator[int]]] = {
    "heliostat Drift (declared: 1)": ours,
    "PSI 0.2, any column": windowed(lambda reference, current: index(reference, current) > 0.2),
    "PSI 0.1, any column": windowed(lambda reference, current: index(reference, current) > 0.1),
    "KS p < 0.05, Bonferroni": windowed(
        lambda reference, current: bool(ks_2samp(reference, current).pvalue < 0.05 / NUM_COLUMNS)
    ),
    "river ADWIN, delta / columns": adwin,
}


def false_alarms(*, num_rows: int) -> dict[str, dict[str, float]]:
    """Alarms per 10^6 rows where nothing changes, by how alike neighbouring rows are."""
    return {
        name: {
            f"rho {rho}": 1e6 * len(list(watch(stream(num_rows + REFERENCE_ROWS, rho=rho, seed=1)))) / num_rows
            for rho in RHOS
        }
        for name, watch in DETECTORS.items()
    }


def delays(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Median rows from the change to the first alarm after it, and the share seen, for independent rows."""
    return {
        name: {title: _delay(watch, shift, num_streams) for title, shift in SHIFTS.items()}
        for name, watch in DETECTORS.items()
    }


def _delay(watch: Callable[[Values], Iterator[int]], shift: float, num_streams: int) -> str:
    seen: list[float] = []
    for seed in range(200, 200 + num_streams):
        rows = stream(REFERENCE_ROWS + SHIFTED_ROWS, rho=0.0, seed=seed, change_at=REFERENCE_ROWS, shift=shift)
        seen.append(next((row - REFERENCE_ROWS for row in watch(rows) if row > REFERENCE_ROWS), np.inf))
    return f"{np.median(seen):,.0f} ({np.isfinite(seen).mean():.0%})"
