"""When a row is due, where only the times of labels are known: estimated from the delays seen so far."""

import math

import numpy as np
from numpy.typing import NDArray

from heliostat.watch.delays import MICROSECOND, maturity

Values = NDArray[np.float64]
Index = NDArray[np.int64]
DUE_QUANTILE = 0.95
SCALE = 1e9
SURE_ERRORS = 3.0  # standard errors: looked at in every step
SAMPLE_ROWS = 20_000  # more rows move the estimate by less than its noise


def due_rows(event_at: Values, label_at: Values, ends: Index) -> Index:
    """How many rows, from the first on, are due when `ends[step]` rows have been answered; it never falls.

    A row is due when the 95% quantile of the delays has passed since its event; where so many rows never get a label
    that there is none, when 95% of the labels that come at all have come, as in the live loop. Where the past is too
    short to know either, the older half of the rows counts as due: else a stream with long delays could not begin.
    The estimate for a step uses only what was known by then.
    """
    return due_and_known(event_at, label_at, ends)[0]


def due_and_known(event_at: Values, label_at: Values, ends: Index) -> tuple[Index, NDArray[np.bool_]]:
    """`due_rows`, and for each step whether it is known at its end how long labels take."""
    found = np.zeros(len(ends), np.int64)
    is_known = np.zeros(len(ends), np.bool_)
    for step in range(1, len(ends)):
        num_rows = int(ends[step])
        now = float(event_at[num_rows - 1])
        longest = delay_quantile(event_at[:num_rows], label_at[:num_rows], now=now)
        if not np.isfinite(longest):
            longest = _matures_after(event_at[:num_rows], label_at[:num_rows], now=now)
        is_known[step] = np.isfinite(longest)
        num_due = int(np.searchsorted(event_at[:num_rows], now - longest, side="right"))
        found[step] = max(num_due, num_rows // 2, found[step - 1])
    return found, is_known


def delay_quantile(event_at: Values, label_at: Values, *, now: float) -> float:
    """The 95% quantile of the delay by Kaplan and Meier (1958), infinite where it was not reached yet.

    Rows without a label by `now` count as delayed for longer than their age, not as absent.
    """
    every = max(1, len(event_at) // SAMPLE_ROWS)
    event_at, label_at = event_at[::every], label_at[::every]
    is_known = label_at <= now
    spans = np.maximum(np.where(is_known, label_at, now) - event_at, 0.0)
    order = np.lexsort((~is_known, spans))
    at_risk = len(spans) - np.arange(len(spans))
    survival = np.cumprod(np.where(is_known[order], 1 - 1 / at_risk, 1.0))
    reached = np.flatnonzero(survival <= 1 - DUE_QUANTILE + 1e-12)
    return float(spans[order][reached[0]]) if len(reached) else float("inf")


def _matures_after(event_at: Values, label_at: Values, *, now: float) -> float:
    """The live loop's time to maturity, infinite while that cannot be told."""
    every = max(1, len(event_at) // SAMPLE_ROWS)
    event_at, label_at = event_at[::every], label_at[::every]
    span = max(now - float(event_at[0]), 1e-9)  # live delays are microseconds: any unit is scaled to so many of them
    delays = np.where(label_at <= now, label_at - event_at, np.nan)
    found = maturity(delays / span * SCALE, (now - event_at) / span * SCALE)
    return math.inf if found is None else found.after / MICROSECOND / SCALE * span


def differ_by_delay(values: Values, delays: Index) -> bool:
    """Whether labels that came soon surely differ from those that came late; what is still to come does then, too.

    Both halves of the labels that are known, shape (num_labels,), each with its delay.
    """
    is_late = delays > np.median(delays) if len(delays) else np.zeros(0, bool)
    soon, late = values[~is_late], values[is_late]
    if min(len(soon), len(late)) < 2:
        return False
    error = math.sqrt(soon.var(ddof=1) / len(soon) + late.var(ddof=1) / len(late))
    return bool(abs(soon.mean() - late.mean()) > SURE_ERRORS * error)
