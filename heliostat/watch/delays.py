"""After which time an outcome without a due date can be judged: estimated from how long labels took before.

Kaplan and Meier (1958): a prediction without a label has waited for its age and is not taken for one that never gets
a label, so young predictions neither shorten nor lengthen the estimate.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Values = NDArray[np.float64]
INSTANT = pa.timestamp("us", tz="UTC")
SHARE = 0.95  # of the labels that come at all have come when a prediction matures
MIN_AT_RISK = 30  # what fewer predictions waited for says little about the tail
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Maturity:
    """Predictions mature `after` their event; `coverage` is the share that is expected to have a label by then."""

    after: timedelta
    coverage: float


def maturity(delays: Values, ages: Values) -> Maturity | None:
    """When SHARE of the labels that come at all have come; None while that cannot be told.

    `delays` are microseconds from event to label (NaN: none so far), `ages` from event to now, both of shape
    (num_predictions,). It can be told once predictions were watched for twice as long: a shorter look would take
    labels that come early for all.
    """
    is_labelled = delays <= ages
    waited = np.where(is_labelled, np.maximum(delays, 0.0), np.maximum(ages, 0.0))
    times, place = np.unique(waited, return_inverse=True)
    num_labelled = np.bincount(place, weights=is_labelled, minlength=len(times))
    at_risk = len(waited) - np.concatenate([[0.0], np.cumsum(np.bincount(place, minlength=len(times)))[:-1]])
    is_told = at_risk >= MIN_AT_RISK
    if not is_told.any() or not num_labelled[is_told].any():
        return None
    times = times[is_told]
    share = 1 - np.cumprod(1 - num_labelled[is_told] / at_risk[is_told])
    reached = int(np.searchsorted(share, SHARE * share[-1], side="left"))
    if np.partition(ages, -MIN_AT_RISK)[-MIN_AT_RISK] < 2 * times[reached]:
        return None
    return Maturity(after=float(times[reached]) * MICROSECOND, coverage=float(share[reached]))


def maturity_of(rows: pa.Table, *, as_of: datetime) -> Maturity | None:
    """The same for joined rows: their event_at, label and label_known_at; a label without a time came at once."""
    event_at = _microseconds(rows["event_at"])
    known_at = _microseconds(pc.coalesce(rows["label_known_at"], rows["event_at"]))
    is_labelled = np.asarray(pc.is_valid(rows["label"]).to_numpy(), np.bool_)
    now = float(_microseconds(pa.chunked_array([pa.array([as_of], INSTANT)]))[0])
    return maturity(np.where(is_labelled, known_at - event_at, np.nan), now - event_at)


def with_due(rows: pa.Table, *, as_of: datetime) -> pa.Table:
    """The rows; `due_at`, where null, is when they mature by the delays of such rows (null while that is unknown)."""
    is_undated = pc.is_null(rows["due_at"])
    undated = rows.filter(is_undated)
    found = maturity_of(undated, as_of=as_of) if undated.num_rows else None
    if found is None:
        return rows
    matures_at = pc.add(rows["event_at"].cast(INSTANT), pa.scalar(found.after, pa.duration("us")))
    due_at = pc.if_else(is_undated, matures_at, rows["due_at"].cast(INSTANT))
    return rows.set_column(rows.schema.get_field_index("due_at"), "due_at", due_at)


def _microseconds(values: pa.ChunkedArray) -> Values:
    return np.asarray(values.cast(INSTANT).cast(pa.int64()).to_numpy(), np.float64)
