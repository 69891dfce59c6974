"""How the windows of a reference scatter around the whole of it: what is calm, though rows are not independent."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.watch.bins import Codes
from heliostat.watch.drift import psi

MIN_WINDOW_ROWS = 30  # an index over fewer rows is mostly noise
CALM_QUANTILE = 0.95


def window_starts(table: pa.Table, window: timedelta | None) -> NDArray[np.int64] | None:
    """The window of each row by its `event_at`, shape (num_rows,); None without windows or without that column."""
    if window is None or "event_at" not in table.column_names:
        return None
    microseconds = table.column("event_at").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(microseconds // (window // timedelta(microseconds=1)), np.int64)


def by_window(codes: Codes, starts: NDArray[np.int64], *, num_bins: int) -> NDArray[np.int64]:
    """The counts of each window, shape (num_windows, num_bins)."""
    _, place = np.unique(starts, return_inverse=True)
    num_windows = int(place.max(initial=-1)) + 1
    cells = np.bincount(place * num_bins + codes, minlength=num_windows * num_bins)
    return cells.reshape(num_windows, num_bins)


def calm_psi(reference: NDArray[np.int64], windows: NDArray[np.int64]) -> float:
    """The index that nineteen in twenty windows of the reference stay below, against the whole of it."""
    found = [psi(reference, row) for row in windows if row.sum() >= MIN_WINDOW_ROWS]
    return float(np.quantile(found, CALM_QUANTILE)) if found else 0.0
