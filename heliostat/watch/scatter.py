"""How many rows of a window weigh as one independent row, from how the windows of a reference scatter.

Rows of one window are alike (a storm delays all flights of its day), and windows next to each other are alike (storms
last): the mean of many windows is less sure than their rows are many. Both are in one factor, the variance of a sum
over many windows divided by that of as many independent rows (Kish 1965; Sokal's integrated autocorrelation time).
"""

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import memory

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
MIN_WINDOWS = 3  # of fewer nobody can say how they scatter: rows are taken as independent
MIN_BLOCKS = 10  # blocks of fewer windows each tell their own variance; of longer ones there are too few
MOST_ALIKE = 0.999


def design_effect(reference: Numbers, windows: Numbers) -> float:
    """How many rows of a window weigh as one independent row, by the shares up to each bin; at least 1.

    `windows` are the counts of each in the order of time, shape (num_windows, num_bins). 1 with fewer than three.
    """
    windows = windows[windows.sum(axis=1) > 0]
    num_rows = windows.sum(axis=1).astype(np.float64)
    expected = np.cumsum(reference)[:-1] / max(int(reference.sum()), 1)
    deviations = np.cumsum(windows, axis=1)[:, :-1] - num_rows[:, None] * expected
    return long_run_effect(deviations, num_rows, unit=float((expected * (1 - expected)).sum()))


def long_run_effect(deviations: Values, num_rows: Values, *, unit: float) -> float:
    """The variance of sums over many windows, over that of independent rows; at least 1.

    `deviations` are sums over each window's rows less what is expected, shape (num_windows, num_series), and `unit` the
    variance of one independent row, summed over the series. What few windows show is widened as if their scatter, and
    how alike neighbours are, had been too small by chance: 1 with fewer than three windows, and a reference in which
    windows remember each other for half of its length weighs little more than a single one of them.
    """
    num_windows = len(deviations)
    if num_windows < MIN_WINDOWS or not unit:
        return 1.0
    single = _scatter(deviations, num_rows, span=1) / unit
    scaled = deviations / np.sqrt(num_rows)[:, None]
    num_alike = min(memory(scaled, num_errors=1.0, most_alike=MOST_ALIKE), num_windows / 2)
    found = [1.0, max(single, 1.0) * num_alike * _widened(num_windows / num_alike)]
    span = 2
    while num_windows // span >= MIN_BLOCKS:  # what no single step shows: seasons, slow waves
        found.append(_scatter(deviations, num_rows, span=span) / unit * _widened(num_windows / span))
        span *= 2
    return max(found)


def at_size(effect: float, *, num_rows: int, usual_rows: float) -> float:
    """The effect of a window with more rows than those of the reference had: what moves a window moves all its rows.

    So a larger window says no more than a usual one of what made windows scatter.
    """
    return 1.0 + (effect - 1.0) * max(1.0, num_rows / usual_rows) if usual_rows > 0 else effect


def _scatter(deviations: Values, num_rows: Values, *, span: int) -> float:
    """The variance of sums over so many windows next to each other, per row, summed over the series."""
    num_blocks = len(deviations) // span
    newest = len(deviations) - num_blocks * span
    sums = deviations[newest:].reshape(num_blocks, span, -1).sum(axis=1)
    rows = num_rows[newest:].reshape(num_blocks, span).sum(axis=1)
    return float((sums**2 / rows[:, None]).sum()) / (num_blocks - 1)


def _widened(num_independent: float) -> float:
    """A variance of so few may be far too low by chance; sums of the reference are then off by more, too."""
    return (1 + 4 / num_independent) ** 2
