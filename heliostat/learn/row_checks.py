"""The rows that a fit learns from and those, later, that it is judged by: what they must be."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import TrainingError
from heliostat.learn.examples import Examples
from heliostat.learn.rows import EVENT_AT, KEY, LABEL
from heliostat.tasks import Task

LARGEST = float(np.finfo(np.float32).max)


def days(rows: pa.Table) -> NDArray[np.int64]:
    """The number of the day of each row: what happens on one day errs together."""
    days: NDArray[np.int64] = rows[EVENT_AT].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    return days


def check_parts(task: Task, train: pa.Table, validation: pa.Table) -> None:
    """Refuse labels of another kind, labels that are all alike, and validation that is not later than training."""
    check_labels(task, train, purpose="training")
    check_labels(task, validation, purpose="validation")
    check_differ(task, train[LABEL].to_numpy(), num_rows=train.num_rows)
    check_later(validation, than=pc.max(train[EVENT_AT]).as_py())


def check_differ(task: Task, labels: NDArray[np.float64], *, num_rows: int) -> None:
    """Refuse labels that are all alike; of many rows each label once suffices."""
    if not task.can_learn(labels):
        needed = "both 0 and 1 must occur" if task.kind == "binary" else "at least two different ones must occur"
        raise TrainingError(
            f"The labels of {num_rows:,} training rows are all {task.value(float(labels[0]))}; {needed}. "
            "Train on a longer span, or mend the label."
        )


def check_later(validation: pa.Table, *, than: datetime) -> None:
    """Refuse validation rows from before training rows end."""
    first = pc.min(validation[EVENT_AT]).as_py()
    if first < than:
        raise TrainingError(
            f"Validation rows begin at {first}, before training rows end at {than}; "
            "a score on them would not tell how the network does later. Split with rows.split_by_time."
        )


def check_width(seen: Examples) -> None:
    """Refuse, with a row, numbers that networks cannot hold; of streamed rows it may be one that was not drawn."""
    for number in seen.origin.preparation.numbers:
        furthest = max(number.low or 0.0, number.high or 0.0, key=abs)
        if abs(furthest) > LARGEST:
            rows = np.flatnonzero(seen.batch[number.name] == furthest)
            where = seen.row_name(int(rows[0])) if len(rows) else "a row"
            raise TrainingError(
                f"{number.name} of {where} is {furthest:g}, and networks see numbers up to {LARGEST:.2g}; scale it "
                f"where the rows come from, or bound Number({number.name!r}, ...)."
            )


def check_labels(task: Task, rows: pa.Table, *, purpose: str) -> None:
    """Refuse, with the first such row, labels that are none of the task's."""
    wrong = rows.filter(pa.array(~task.are_codes(rows[LABEL].to_numpy())))
    if wrong.num_rows:
        first = wrong.sort_by(EVENT_AT).slice(0, 1).to_pylist()[0]
        raise TrainingError(
            f"The label of the row with key {first[KEY]!r} at {first[EVENT_AT]:%Y-%m-%dT%H:%M:%S%z} is "
            f"{first[LABEL]:g}, and {wrong.num_rows:,} of {rows.num_rows:,} {purpose} rows have another than "
            f"{task.codes_allowed}; mend the label where the rows come from."
        )
