"""What gates beside the scores look at: losses by slice and on older rows, answers to golden rows, time of a batch."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from heliostat import cohorts
from heliostat.errors import WorkloadError
from heliostat.govern.candidates import difference
from heliostat.govern.comparison import coded
from heliostat.guards import (
    BatchTimes,
    Further,
    Golden,
    KeepsGolden,
    KeepsOlder,
    LossDifference,
    NoSliceWorse,
    QuickEnough,
    asked_columns,
)
from heliostat.labels import Classes
from heliostat.workload import Workload

Values = NDArray[np.float64]
Answer = Callable[[pa.Table], Values]
MAX_OLDER_ROWS = 2000
NUM_TIMES, NUM_WARM = 20, 3


def further(
    workload: Workload,
    *,
    holdout: pa.Table,
    rows: pa.Table,
    first_event_at: object,
    own: Answer,
    champion: Answer | None,
) -> Further:
    """Everything that a declared gate asks for; `own` and `champion` answer rows."""
    kinds = {type(gate) for gate in workload.gates}
    golden = [gate for gate in workload.gates if isinstance(gate, KeepsGolden)]
    quick = [gate for gate in workload.gates if isinstance(gate, QuickEnough)]
    return Further(
        slices=_slices(workload, holdout, own, champion) if NoSliceWorse in kinds and champion else (),
        older=_older(workload, holdout, rows, first_event_at, own=own, champion=champion)
        if KeepsOlder in kinds and champion
        else None,
        golden=_golden(workload, golden[0], own) if golden else None,
        times=_times(holdout.slice(0, quick[0].num_rows), own, champion) if quick else None,
    )


def _slices(workload: Workload, holdout: pa.Table, own: Answer, champion: Answer) -> tuple[LossDifference, ...]:
    losses, others = _losses(workload, holdout, own), _losses(workload, holdout, champion)
    days = _days(holdout)
    found = []
    for column in workload.columns:
        if column.name in asked_columns(workload.gates):
            names, codes = coded(holdout, column)
            for code in np.unique(codes):
                is_in = codes == code
                mean, error = difference(losses[is_in], others[is_in], days[is_in])
                name = f"{column.name} is {names[code]}"
                found.append(LossDifference(name=name, num_rows=int(is_in.sum()), mean=mean, standard_error=error))
    return tuple(found)


def _older(
    workload: Workload,
    holdout: pa.Table,
    rows: pa.Table,
    first_event_at: object,
    *,
    own: Answer,
    champion: Answer | None,
) -> LossDifference | None:
    """Rows from before the candidate's first; where there are too few, every so manieth row before the hold-out."""
    if champion is None or holdout.num_rows == 0:
        return None
    before, _ = cohorts.parted(rows, at=pc.min(holdout["event_at"]).as_py())
    unseen = before.filter(pc.less(before["event_at"], pa.scalar(first_event_at, before["event_at"].type)))
    is_unseen = unseen.num_rows >= workload.loop.min_holdout_rows
    chosen = unseen if is_unseen else before
    chosen = chosen.take(pa.array(np.arange(0, chosen.num_rows, max(1, -(-chosen.num_rows // MAX_OLDER_ROWS)))))
    if chosen.num_rows < workload.loop.min_holdout_rows:
        return None
    losses, others = _losses(workload, chosen, own), _losses(workload, chosen, champion)
    mean, error = difference(losses, others, _days(chosen))
    name = "rows from before its own" if is_unseen else "rows of all history"
    return LossDifference(name=name, num_rows=chosen.num_rows, mean=mean, standard_error=error)


def _golden(workload: Workload, gate: KeepsGolden, own: Answer) -> Golden:
    if isinstance(workload.label, Classes):
        raise WorkloadError("KeepsGolden compares one number a row; for a label of classes leave it out.")
    rows = _read(gate.path)
    lacking = sorted({"answer", *(column.name for column in workload.columns)} - set(rows.column_names))
    if lacking:
        raise WorkloadError(f"The golden rows of {gate.path} lack {lacking}; they have {rows.column_names}.")
    inputs = pa.table({column.name: rows[column.name].cast(column.arrow_type) for column in workload.columns})
    known = rows["answer"].cast(pa.float64())
    if not len(known) or known.null_count:
        raise WorkloadError(
            f"Of {len(known)} golden rows of {gate.path} {known.null_count} have no answer; give rows, each with one."
        )
    # What is no number at all is off, however large the tolerance is.
    off = np.nan_to_num(np.abs(own(inputs) - known.to_numpy()), nan=np.inf)
    return Golden(
        num_rows=rows.num_rows,
        num_off=int((off > gate.tolerance).sum()),
        worst_row=int(np.argmax(off)) + 1 if len(off) else 0,
        worst_distance=float(off.max()) if len(off) else 0.0,
    )


def _read(path: str) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(path) if path.endswith(".csv") else pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise WorkloadError(f"The golden rows of {path} cannot be read ({error}); see KeepsGolden.") from error


def _times(batch: pa.Table, own: Answer, champion: Answer | None) -> BatchTimes:
    other = None if champion is None else _median_ms(champion, batch)
    return BatchTimes(num_rows=batch.num_rows, own_ms=_median_ms(own, batch), champion_ms=other)


def _median_ms(answer: Answer, batch: pa.Table) -> float:
    taken: list[float] = []
    for _ in range(NUM_WARM + NUM_TIMES):
        started_s = time.perf_counter()
        answer(batch)
        taken.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(taken[NUM_WARM:])


def _losses(workload: Workload, rows: pa.Table, answer: Answer) -> Values:
    return workload.task.losses(rows["label"].to_numpy(), answer(rows))


def _days(rows: pa.Table) -> NDArray[np.generic]:
    days: NDArray[np.generic] = rows["event_at"].cast(pa.date32()).to_numpy()
    return days
