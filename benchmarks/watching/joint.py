"""Streams of inputs of which only the way they go together changes: each column alone stays as it was."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, norm

from benchmarks.watching import inputs
from benchmarks.watching.inputs import COLUMNS, DAY, REFERENCE_ROWS, RHOS, WINDOW_ROWS
from heliostat.triggers import JointDrift
from heliostat.watch.profile import Profile

Values = NDArray[np.float64]
NAMES = tuple(column.name for column in COLUMNS)
CORRELATIONS = (0.3, 0.5, 0.8)
CHANGED_ROWS, COMMIT_ROWS, NUM_COMMITS = 20_000, 250, 400


def changed(rows: Values, *, correlation: float, is_bent: bool = False, since: int = REFERENCE_ROWS) -> Values:
    """The second column follows the first, or (bent) how far that is from its middle; it stays normal by itself."""
    rows = rows.copy()
    cause, noise = rows[since:, 0], rows[since:, 1]
    cause = (np.abs(cause) - np.sqrt(2 / np.pi)) / np.sqrt(1 - 2 / np.pi) if is_bent else cause
    mixed = correlation * cause + np.sqrt(1 - correlation**2) * noise
    ranks = np.argsort(np.argsort(mixed))
    rows[since:, 1] = norm.ppf((ranks + 0.5) / len(ranks)) if is_bent else mixed
    return rows


def ours(rows: Values) -> Iterator[int]:
    """The rows after which the live monitor's JointDrift asks for a turn."""
    return inputs.ours(rows, trigger=JointDrift(), together=NAMES)


def products(rows: Values) -> Iterator[int]:
    """The usual way: KS of the product of each two columns, window against reference, with Bonferroni."""
    reference, pairs = rows[:REFERENCE_ROWS], list(combinations(range(len(NAMES)), 2))
    for row in range(REFERENCE_ROWS, len(rows) - WINDOW_ROWS + 1, WINDOW_ROWS):
        current = rows[row : row + WINDOW_ROWS]
        if any(
            ks_2samp(reference[:, one] * reference[:, other], current[:, one] * current[:, other]).pvalue
            < 0.05 / len(pairs)
            for one, other in pairs
        ):
            yield row + WINDOW_ROWS


DETECTORS: dict[str, Callable[[Values], Iterator[int]]] = {
    "heliostat JointDrift (declared: 1)": ours,
    "heliostat Drift": inputs.ours,
    "KS p < 0.05 of products of two, Bonferroni": products,
}


def false_alarms(*, num_rows: int) -> dict[str, dict[str, float]]:
    """Alarms per 10^6 rows where nothing changes, by how alike neighbouring rows are."""
    return {
        name: {
            f"rho {rho}": 1e6 * len(list(watch(inputs.stream(num_rows + REFERENCE_ROWS, rho=rho, seed=11)))) / num_rows
            for rho in RHOS
        }
        for name, watch in DETECTORS.items()
    }


def delays(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Median rows from the change to the first alarm, and the share seen, for independent rows."""
    changes: dict[str, Callable[[Values], Values]] = {
        **{f"correlation {one}": partial(changed, correlation=one) for one in CORRELATIONS},
        "bent 0.8": partial(changed, correlation=0.8, is_bent=True),
        "0.5 sd alone": _moved,
    }
    return {
        name: {title: _delay(watch, change, num_streams) for title, change in changes.items()}
        for name, watch in DETECTORS.items()
    }


def _moved(rows: Values) -> Values:
    rows = rows.copy()
    rows[REFERENCE_ROWS:, 0] += 0.5
    return rows


def _delay(watch: Callable[[Values], Iterator[int]], change: Callable[[Values], Values], num_streams: int) -> str:
    seen: list[float] = []
    for seed in range(300, 300 + num_streams):
        rows = change(inputs.stream(REFERENCE_ROWS + CHANGED_ROWS, rho=0.0, seed=seed))
        seen.append(next((row - REFERENCE_ROWS for row in watch(rows)), np.inf))
    return f"{np.median(seen):,.0f} ({np.isfinite(seen).mean():.0%})"


def cost() -> dict[str, dict[str, float]]:
    """CPU of counting pairs beside columns, of comparing a window, and what a window stores: ten columns."""
    rows = inputs.stream(REFERENCE_ROWS, rho=0.0, seed=1)
    reference, answers = inputs.told(rows, 0, REFERENCE_ROWS), np.zeros(REFERENCE_ROWS)
    plain, paired = (Profile.fit(reference, COLUMNS, answers, window=DAY, together=names) for names in ((), NAMES))
    commit, told = reference.slice(0, COMMIT_ROWS), answers[:COMMIT_ROWS]
    counts = paired.count(commit, told)
    plain_us, paired_us = (us(lambda one=one: one.count(commit, told)) / COMMIT_ROWS for one in (plain, paired))
    return {
        "ten columns together: counting adds, microseconds a row (commits of 250)": {"": paired_us - plain_us},
        "comparing a window, microseconds": {"": us(lambda: paired.compare_together(counts))},
        "counts of a window, kB stored": {
            "": (len(json.dumps(counts.to_json())) - len(json.dumps(plain.count(commit, told).to_json()))) / 1e3
        },
    }


def us(work: Callable[[], object]) -> float:
    """CPU-microseconds of a piece of work, the mean of many."""
    work()
    started_s = time.process_time()
    for _ in range(NUM_COMMITS):
        work()
    return (time.process_time() - started_s) / NUM_COMMITS * 1e6
