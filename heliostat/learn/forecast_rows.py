"""A series as rows of forecasts: each with the window before it, what lies ahead, and what came of it."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.errors import WorkloadError
from heliostat.vectors import from_matrix

FORECAST, MADE_AT, TARGET_AT, KNOWN_AT = "forecast", "made_at", "target_at", "known_at"
WINDOW, VALUE = "window", "value"
CALENDAR = ("minute_of_day", "weekday", "day_of_year")
_INSTANTS = pa.timestamp("us", tz="UTC")


def forecast_rows(
    instants: pa.ChunkedArray,
    values: pa.ChunkedArray,
    *,
    series: str,
    spacing: timedelta,
    length: int,
    steps: Sequence[int],
    every: int = 1,
) -> pa.Table:
    """One row for each forecast and number of steps ahead that both lie within the series, in order of time.

    `instants` (UTC, each a whole number of `spacing` after the first) and `values` are one series. Every `every`th
    place begins a forecast, made once the value there is known, from the `length` values up to it. A value that is not
    known counts as the last one known in windows, or as the first one where none was known before; as a label it is
    null. Before the first known value nothing is forecast, and a series shorter than a window has no rows.

    Columns: `forecast` (an id with `series` in it), `made_at`, `target_at` (when the value is due), `known_at` (the
    same, null where it is not known), `window` (float32, the newest last), `steps`, `value`, and of `target_at` the
    `minute_of_day`, `weekday` (0 is Monday) and `day_of_year`, all in UTC.
    """
    if not len(instants) or length < 1 or not steps or min(steps) < 1 or every < 1:
        raise WorkloadError(
            f"Forecasts of {series!r} need values, length={length}, steps={list(steps)} and every={every}: a series is "
            "not empty, and all numbers must be at least 1."
        )
    at = instants.cast(pa.timestamp("us")).to_numpy().astype("M8[us]")
    on_grid = _on_grid(series, at, values.cast(pa.float64()).to_numpy(), np.timedelta64(spacing))
    origins, windows = _windows(on_grid, length=length, every=every)
    origin = np.repeat(np.arange(len(origins)), len(steps))
    ahead = np.tile(np.array(steps, np.int64), len(origins))
    inside = origins[origin] + ahead < len(on_grid)
    origin, ahead = origin[inside], ahead[inside]
    places = origins[origin]
    made_at, target_at = (at.min() + each * np.timedelta64(spacing) for each in (places, places + ahead))
    labels = on_grid[places + ahead]
    names = [f"{series}|{made}|{step}" for made, step in zip(made_at.astype(str), ahead, strict=True)]
    return pa.table(
        {
            FORECAST: pa.array(names, pa.string()),
            MADE_AT: pa.array(made_at).cast(_INSTANTS),
            TARGET_AT: pa.array(target_at).cast(_INSTANTS),
            KNOWN_AT: pa.array(target_at, mask=np.isnan(labels)).cast(_INSTANTS),
            WINDOW: from_matrix(windows[origin].astype(np.float32)),
            "steps": ahead.astype(np.float64),
            VALUE: pa.array(labels, mask=np.isnan(labels)),
            **_calendar(target_at),
        }
    )


def _windows(on_grid: NDArray[np.float64], *, length: int, every: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The places at which forecasts are made, and the window up to each."""
    last_known = _last_known(on_grid)
    origins = np.arange(length - 1, len(on_grid), every)
    origins = origins[last_known[origins] <= origins]  # else the window would hold what comes later
    if not len(origins):
        return origins, np.empty((0, length))
    windows = np.lib.stride_tricks.sliding_window_view(on_grid[last_known], length)
    return origins, windows[origins - length + 1]


def _on_grid(
    series: str, at: NDArray[np.datetime64], values: NDArray[np.float64], spacing: np.timedelta64
) -> NDArray[np.float64]:
    """One value for each place from the first instant on; NaN where none is known."""
    since = at - at.min()
    places = since // spacing
    if (since % spacing).astype(np.int64).any() or len(np.unique(places)) < len(places):
        raise WorkloadError(
            f"The instants of {series!r} must differ, and lie whole steps of {spacing.astype('m8[s]')} apart; sum or "
            "average the values of each step first."
        )
    found = np.full(int(places.max()) + 1, np.nan)
    found[places] = values
    return found


def _last_known(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each place the last one up to it that has a value; before the first such, that."""
    is_known = ~np.isnan(values)
    if not is_known.any():
        raise WorkloadError("A series without any known value cannot be forecast; leave it out.")
    last = np.maximum.accumulate(np.where(is_known, np.arange(len(values)), -1))
    return np.where(last < 0, np.argmax(is_known), last)


def _calendar(at: NDArray[np.datetime64]) -> dict[str, NDArray[np.float64]]:
    days = at.astype("M8[D]")
    numbers = (
        (at - days).astype("m8[m]"),
        (days.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
        days - days.astype("M8[Y]").astype("M8[D]") + 1,
    )
    return {name: each.astype(np.float64) for name, each in zip(CALENDAR, numbers, strict=True)}
