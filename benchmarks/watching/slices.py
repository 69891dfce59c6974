"""Streams of ten columns in four slices of the rows, in the smallest of which one column moves."""

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.watching import inputs
from benchmarks.watching.inputs import COLUMNS, DAY, REFERENCE_ROWS, RHOS, START, WINDOW_ROWS
from benchmarks.watching.joint import COMMIT_ROWS, us
from heliostat.columns import Category
from heliostat.triggers import Drift, SliceDrift, Trigger
from heliostat.watch.events import ChampionChanged, Retrain
from heliostat.watch.monitor import MonitorState
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows

Values = NDArray[np.float64]
SHARES = (0.1, 0.2, 0.3, 0.4)
SLICED = (*COLUMNS, Category("site"))
SHIFTS = {"0.5 sd": 0.5, "1 sd": 1.0, "2 sd": 2.0}
CHANGED_ROWS = 20_000
TRIGGERS: dict[str, Trigger] = {"heliostat SliceDrift (declared: 1)": SliceDrift(), "heliostat Drift": Drift()}


def stream(num_rows: int, *, rho: float, seed: int, shift: float = 0.0) -> pa.Table:
    """Rows as they lie in the log; behind the reference the first column of the first slice moves by `shift`."""
    rows = inputs.stream(num_rows, rho=rho, seed=seed)
    site = np.random.default_rng([1, seed]).choice(len(SHARES), num_rows, p=SHARES)
    is_moved = (site == 0) & (np.arange(num_rows) >= REFERENCE_ROWS)
    rows[is_moved, 0] += shift
    return inputs.told(rows, 0, num_rows).append_column("site", pa.array(np.array(list("abcd"))[site]))


def profile_of(rows: pa.Table, within: Sequence[str] = ("site",), *, reference_rows: int = REFERENCE_ROWS) -> Profile:
    """The profile of the first rows."""
    answers = np.zeros(reference_rows)
    return Profile.fit(rows.slice(0, reference_rows), SLICED, answers, window=DAY, within=within)


def asked(rows: pa.Table, *, trigger: Trigger, reference_rows: int = REFERENCE_ROWS) -> Iterator[int]:
    """The rows after which the live monitor asks for a turn; after each it starts anew."""
    profile = profile_of(rows, reference_rows=reference_rows)
    state, version = MonitorState([trigger]), 1
    windows = Windows(profile, version=version, span=DAY)
    state.handle(ChampionChanged(at=START, version=version, trained_until=START))
    for row in range(reference_rows, rows.num_rows - WINDOW_ROWS + 1, WINDOW_ROWS):
        until = START + (row // WINDOW_ROWS + 1) * DAY
        windows.add(rows.slice(row, WINDOW_ROWS), np.zeros(WINDOW_ROWS))
        if any(isinstance(one, Retrain) for closed in windows.close(until) for one in state.handle(closed)):
            yield row + WINDOW_ROWS
            version += 1
            windows = Windows(profile, version=version, span=DAY)
            state.handle(ChampionChanged(at=until, version=version, trained_until=until))


def false_alarms(*, num_rows: int) -> dict[str, dict[str, float]]:
    """Alarms per 10^6 rows where nothing changes, by how alike neighbouring rows are."""
    return {
        name: {
            f"rho {rho}": 1e6
            * len(list(asked(stream(num_rows + REFERENCE_ROWS, rho=rho, seed=11), trigger=trigger)))
            / num_rows
            for rho in RHOS
        }
        for name, trigger in TRIGGERS.items()
    }


def delays(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Median rows from the change to the first alarm, and the share seen, for independent rows."""
    return {
        name: {title: _delay(trigger, shift, num_streams) for title, shift in SHIFTS.items()}
        for name, trigger in TRIGGERS.items()
    }


def _delay(trigger: Trigger, shift: float, num_streams: int) -> str:
    seen: list[float] = []
    for seed in range(400, 400 + num_streams):
        rows = stream(REFERENCE_ROWS + CHANGED_ROWS, rho=0.0, seed=seed, shift=shift)
        seen.append(next((row - REFERENCE_ROWS for row in asked(rows, trigger=trigger)), np.inf))
    return f"{np.median(seen):,.0f} ({np.isfinite(seen).mean():.0%})"


def cost() -> dict[str, dict[str, float]]:
    """CPU of counting slices beside columns, of comparing a window, and what a window stores: ten columns, 4 slices."""
    rows = stream(REFERENCE_ROWS, rho=0.0, seed=1)
    plain, sliced = profile_of(rows, ()), profile_of(rows)
    commit, told = rows.slice(0, COMMIT_ROWS), np.zeros(COMMIT_ROWS)
    counts = sliced.count(commit, told)
    counting: list[Callable[[], object]] = [lambda: plain.count(commit, told), lambda: sliced.count(commit, told)]
    plain_us, sliced_us = (us(one) / COMMIT_ROWS for one in counting)
    return {
        "ten columns in four slices: counting adds, microseconds a row (commits of 250)": {"": sliced_us - plain_us},
        "comparing a window's slices, microseconds": {"": us(lambda: sliced.compare_within(counts))},
        "slices of a window, kB stored": {
            "": (len(json.dumps(counts.to_json())) - len(json.dumps(plain.count(commit, told).to_json()))) / 1e3
        },
    }
