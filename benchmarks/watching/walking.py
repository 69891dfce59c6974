"""Streams whose windows are unlike each other though nothing changes: means that walk from day to day, and weeks."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.watching import inputs, joint, slices
from benchmarks.watching.inputs import NUM_COLUMNS, WINDOW_ROWS
from heliostat.triggers import Drift, JointDrift, SliceDrift

Values = NDArray[np.float64]
Watcher = Callable[..., Iterator[int]]
DEVIATION = 0.5  # of the windows' means, where rows deviate by 1
REFERENCE_WINDOWS, LIVE_WINDOWS = (30, 90), 60
SHIFTS = {"1 sd": 1.0, "2 sd": 2.0}


def walk(num_windows: int, *, alike: float, seed: int) -> Values:
    """Means of windows, each like the one before by so much, shape (num_windows, 10)."""
    noise = np.random.default_rng(seed).normal(size=(num_windows + 300, NUM_COLUMNS))
    return DEVIATION * np.asarray(lfilter([np.sqrt(1 - alike**2)], [1, -alike], noise, axis=0))[300:]


def weeks(num_windows: int, *, seed: int) -> Values:
    """Means that differ on two days of seven, of each column on others."""
    first = np.random.default_rng(seed).integers(0, 7, NUM_COLUMNS)
    is_weekend = (np.arange(num_windows)[:, None] + first) % 7 < 2
    return DEVIATION * (is_weekend - 2 / 7) / np.sqrt(10 / 49)


MEANS: dict[str, Callable[..., Values]] = {
    "alike by 0": partial(walk, alike=0.0),
    "by 0.4": partial(walk, alike=0.4),
    "by 0.7": partial(walk, alike=0.7),
    "by 0.9": partial(walk, alike=0.9),
    "weeks": weeks,
}


def rows_of(means: Values, *, seed: int) -> Values:
    """Normal rows with these means, a window's rows one after the other."""
    noise = np.random.default_rng([2, seed]).normal(size=(len(means) * WINDOW_ROWS, NUM_COLUMNS))
    return noise + np.repeat(means, WINDOW_ROWS, axis=0)


def _sliced(rows: Values, *, reference_rows: int) -> Iterator[int]:
    site = np.random.default_rng(3).choice(list("abcd"), len(rows), p=slices.SHARES)
    told = inputs.told(rows, 0, len(rows)).append_column("site", pa.array(site))
    return slices.asked(told, trigger=SliceDrift(), reference_rows=reference_rows)


def _joined(rows: Values, *, reference_rows: int) -> Iterator[int]:
    """The walk of the third column is how much the second follows the first."""
    rows, follows = rows.copy(), np.clip(rows[:, 2].reshape(-1, WINDOW_ROWS).mean(axis=1), -0.9, 0.9)
    shared = np.repeat(follows, WINDOW_ROWS)
    rows[:, 1] = shared * rows[:, 0] + np.sqrt(1 - shared**2) * rows[:, 1]
    return inputs.ours(rows, trigger=JointDrift(), together=joint.NAMES, reference_rows=reference_rows)


WATCHERS: Mapping[str, Watcher] = {
    "Drift": partial(inputs.ours, trigger=Drift()),
    "SliceDrift": _sliced,
    "JointDrift": _joined,
}


def false_alarms(*, num_streams: int) -> dict[str, dict[str, str]]:
    """How many streams of 60 windows alarm, by how alike neighbouring windows are; declared is 1 in 1,000 windows."""
    found: dict[str, dict[str, str]] = {}
    for num_windows in REFERENCE_WINDOWS:
        for name, watch in WATCHERS.items():
            found[f"heliostat {name}, reference of {num_windows} windows"] = {
                title: _alarms(watch, make, num_windows, num_streams) for title, make in MEANS.items()
            }
    return found


def _alarms(
    watch: Callable[..., Iterator[int]], make: Callable[..., Values], num_windows: int, num_streams: int
) -> str:
    alarms = 0
    for seed in range(600, 600 + num_streams):
        rows = rows_of(make(num_windows + LIVE_WINDOWS, seed=seed), seed=seed)
        alarms += any(True for _ in watch(rows, reference_rows=num_windows * WINDOW_ROWS))
    return f"{alarms} of {num_streams}"


def delays(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Median windows from a shift of one column to the first alarm of `Drift`, where windows are so alike."""
    return {
        f"heliostat Drift, reference of 90 windows, {title}": {
            shown: _delay(make, shift, num_streams) for shown, shift in SHIFTS.items()
        }
        for title, make in MEANS.items()
    }


def _delay(make: Callable[..., Values], shift: float, num_streams: int) -> str:
    seen, num_windows = [], REFERENCE_WINDOWS[-1]
    for seed in range(700, 700 + num_streams):
        rows = rows_of(make(num_windows + LIVE_WINDOWS, seed=seed), seed=seed)
        first = num_windows * WINDOW_ROWS
        rows[first:, 0] += shift
        alarm = next(inputs.ours(rows, reference_rows=first), np.inf)
        seen.append((alarm - first) / WINDOW_ROWS)
    return f"{np.median(seen):,.0f} ({np.isfinite(seen).mean():.0%})"
