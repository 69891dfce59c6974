"""Times of a table as numbers, and the order that they give to its rows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.simulate.inputs import TEXT_KINDS, can_be, is_number, is_text

Values = NDArray[np.float64]


def times(table: pa.Table, name: str) -> Values:
    """Times as numbers: seconds for instants, dates and ISO text, numbers as they are; NaN where missing.

    Instants without a zone are read as UTC.
    """
    values = table[name]
    try:
        if is_number(values.type):
            numbers = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)
            return np.where(np.isfinite(numbers), numbers, np.nan)
        if is_text(values.type):
            return _seconds(_of_text(values))
        return _seconds(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"Column {name!r} of type {values.type} cannot be read as a time{_as_in(values)}; give instants, dates, "
            "text such as '2020-01-31 23:59' or numbers."
        ) from error


def _of_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text with a zone and without are two kinds for Arrow; a column holds one of them."""
    plain = values.cast(pa.string())
    return plain.cast(next((kind for kind in TEXT_KINDS if can_be(plain, kind)), TEXT_KINDS[-1]))


def _as_in(values: pa.ChunkedArray) -> str:
    """The first value that is no time, or a time of another form than those before it."""
    known = values.drop_null()
    if is_text(values.type):
        known = known.cast(pa.string())
        kind = next((one for one in TEXT_KINDS if can_be(known.slice(0, 1), one)), TEXT_KINDS[0])
        while len(known) > 1:
            half = len(known) // 2
            known = known.slice(half) if can_be(known.slice(0, half), kind) else known.slice(0, half)
    return f", as in {known[0].as_py()!r}" if len(known) else ""


def _seconds(values: pa.ChunkedArray) -> Values:
    micros = values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)), safe=False).cast(pa.int64())
    return np.asarray(pc.divide(micros.cast(pa.float64(), safe=False), 1e6).to_numpy(), np.float64)


def ordered(table: pa.Table, event_time: str | None, remarks: list[str]) -> tuple[Values | None, pa.Table]:
    """Event times and rows in their order; rows of one instant stay in file order."""
    if event_time is None:
        return None, table
    event_at = times(table, event_time)
    is_timed = np.isfinite(event_at)
    if not is_timed.any():
        raise ContractError(f"No row has a {event_time}; name another column, or none to play the rows in file order.")
    if not is_timed.all():
        remarks.append(f"{int((~is_timed).sum()):,} rows without {event_time} were left out.")
    rows = np.flatnonzero(is_timed)
    kept = event_at[rows]
    if (np.diff(kept) < 0).any():
        remarks.append(f"The rows were put in order of {event_time}; those of one instant stay in file order.")
    order = rows[np.argsort(kept, kind="stable")]
    return event_at[order], table.take(pa.array(order))


def refuse_mixed(table: pa.Table, event_time: str, label_time: str, remarks: list[str]) -> None:
    """Both times are instants, or both numbers; ContractError otherwise."""
    event, label = table[event_time].type, table[label_time].type
    if is_number(event) != is_number(label):
        raise ContractError(
            f"{event_time!r} is {event} and {label_time!r} is {label}: both must be instants, or both numbers."
        )
    if kinds.is_timestamp(event) and kinds.is_timestamp(label) and (event.tz is None) != (label.tz is None):
        remarks.append(f"Of {event_time} and {label_time} one has no time zone: it was read as UTC.")


def remarks_on_delays(event_at: Values, label_at: Values, labels: Values) -> list[str]:
    """How late labels come, and what is odd about their times."""
    is_told = np.isfinite(label_at) & np.isfinite(labels)
    delays = (label_at - event_at)[is_told]
    if not len(delays):
        return ["No row has a label and a label time."]
    span = max(float(event_at[-1] - event_at[0]), 1e-9)
    half, most = (float(np.quantile(delays, share)) for share in (0.5, 0.95))
    late = (
        f"Labels come late: half of them after {max(half, 0.0) / span:.1%} of the whole time span, one in twenty after "
        f"more than {most / span:.1%}."
    )
    found = [late] if most > 0 else []
    num_early, num_untold = int((delays < 0).sum()), int((np.isfinite(labels) & np.isnan(label_at)).sum())
    if num_early:
        found.append(f"{num_early:,} labels were told before their event: they count as known right after the answer.")
    if num_untold:
        found.append(f"{num_untold:,} labels have no time: they are scored, but never learned from nor watched.")
    return found
