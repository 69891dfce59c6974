"""From one piece of an input table to answers: the columns, the `encode` and the network that requests get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.bulk.admission import REJECTED, Admitted, admit
from heliostat.bulk.composed import Answers, Composed
from heliostat.bulk.ids import scored_ids
from heliostat.columns import Column
from heliostat.errors import ContractError, TrainingError
from heliostat.event_times import INSTANT
from heliostat.tasks import BINARY, Task, Values
from heliostat.workload import Workload

PROBABILITY_TOLERANCE = 1e-6
"""How far a probability may lie from the one that a request got: the size of a batch changes the last bits. Of a
quantity it is the share of its size."""

_BEFORE = {"id": pa.string(), "key": pa.string(), "event_at": INSTANT}
_BEHIND = {"version": pa.int32(), "bundle_hash": pa.string(), "run_id": pa.string()}
ANSWERED_WITH = "answered_with"
"""Stands in the answers of a workload that asks others: what the own model said, and every other."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What every answer of one run was made from."""

    run_id: str
    version: int
    bundle_hash: str
    default_event_at: datetime


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Answers, and the rows that got none."""

    answers: pa.Table
    rejected: pa.Table


def score(  # noqa: PLR0913 - the parts of one piece of work, all named
    table: pa.Table,
    model: Answers | Composed,
    *,
    workload: Workload,
    columns: Sequence[Column],
    origin: Origin,
    part: int,
    rows: NDArray[np.int64],
    batch_rows: int,
    carry: Sequence[str] = (),
    with_inputs: bool = True,
) -> Scored:
    """One answer for every row that keeps the contract; `rows` are their numbers in the part of the input."""
    admitted = admit(workload, table, columns=columns, default_event_at=origin.default_event_at)
    composed: list[str] | None = None
    task = workload.task
    if isinstance(model, Composed):
        admitted, answers, composed = _composed(admitted, model, table, batch_rows=batch_rows, task=task)
    else:
        answers = _answers(admitted.inputs, model, batch_rows=batch_rows, task=task)
    numbers = rows[admitted.rows]
    ids = scored_ids(origin.run_id, part=part, rows=numbers, event_at=admitted.event_at)
    answered: dict[str, pa.Array] = {
        "id": ids,
        "key": _or_own(admitted.keys, ids),
        "event_at": admitted.event_at,
        **task.columns(answers),
        "version": _repeated(pa.scalar(origin.version, pa.int32()), len(ids)),
        "bundle_hash": _repeated(pa.scalar(origin.bundle_hash), len(ids)),
        "run_id": _repeated(pa.scalar(origin.run_id), len(ids)),
    }
    if composed is not None:
        answered[ANSWERED_WITH] = pa.array(composed, pa.string())
    if with_inputs:
        answered |= {name: admitted.inputs[name] for name in admitted.inputs.column_names}
    if carry:
        carried = table.select(list(carry)).take(pa.array(admitted.rows))
        answered |= {name: carried[name] for name in carry if name not in answered}
    return Scored(answers=pa.table(answered), rejected=_placed(admitted.rejected, part=part, rows=rows))


def answer_schema(
    columns: Sequence[Column],
    carried: Mapping[str, pa.DataType],
    *,
    with_inputs: bool,
    asks_others: bool = False,
    task: Task = BINARY,
) -> pa.Schema:
    """The columns of the answers, in order."""
    kinds = {**_BEFORE, **{field.name: field.type for field in task.stored}, **_BEHIND}
    if asks_others:
        kinds[ANSWERED_WITH] = pa.string()
    if with_inputs:
        kinds |= {column.name: column.arrow_type for column in columns}
    return pa.schema(kinds | {name: kind for name, kind in carried.items() if name not in kinds})


def refuse_taken(
    columns: Sequence[Column], carry: Sequence[str], present: Sequence[str], *, task: Task = BINARY
) -> None:
    """ContractError when a column to carry along is not there, or an input has the name of a column of the answers."""
    absent = [name for name in carry if name not in present]
    if absent:
        raise ContractError(f"The input has no column {absent[0]!r} to carry along; it has {', '.join(present)}.")
    lacking = [column.name for column in columns if not column.optional and column.name not in present]
    if lacking:
        raise ContractError(
            f"The input lacks the column {lacking[0]!r}, which this version needs; it has {', '.join(present)}."
        )
    own = {*_BEFORE, *_BEHIND, *(field.name for field in task.stored), ANSWERED_WITH} - {"key", "event_at"}
    taken = sorted({*carry, *(column.name for column in columns)} & own)
    if taken:
        raise ContractError(
            f"The answers have a column {taken[0]!r} of their own; rename it in the input, or leave it out."
        )


def _answers(inputs: pa.Table, model: Answers, *, batch_rows: int, task: Task) -> Values:
    starts = range(0, inputs.num_rows, batch_rows)
    parts = [model.answers(inputs.slice(start, batch_rows)) for start in starts]
    found = np.concatenate([np.zeros((0, *task.shape)), *parts])
    _refuse_not_finite(found, inputs.num_rows, task)
    return found


def _refuse_not_finite(found: Values, num_rows: int, task: Task) -> None:
    if len(found) != num_rows or not task.are_answers(found).all():
        raise TrainingError(
            f"The version gave no finite answer for each of {num_rows} rows; choose another with --version."
        )


def _composed(
    admitted: Admitted, model: Composed, table: pa.Table, *, batch_rows: int, task: Task
) -> tuple[Admitted, Values, list[str]]:
    """The rows that get an answer, the answers, and who took part; rows that lack one they need are rejected."""
    starts = range(0, admitted.inputs.num_rows, batch_rows)
    said = [model.said(admitted.inputs.slice(start, batch_rows)) for start in starts]
    parts = [np.asarray(each.answers, np.float64).reshape(-1, *task.shape) for each in said]
    found = np.concatenate([np.zeros((0, *task.shape)), *parts])
    _refuse_not_finite(found, admitted.inputs.num_rows, task)
    answered_with = [text for each in said for text in each.answered_with]
    if said:
        admitted = replace(admitted, inputs=pa.concat_tables([each.rows for each in said]))
    refused = {start + row: why for start, each in zip(starts, said, strict=True) for row, why in each.refused.items()}
    if not refused:
        return admitted, found, answered_with
    kept = np.setdiff1d(np.arange(len(found)), list(refused))
    reason_by_place = {int(admitted.rows[row]): why for row, why in refused.items()}
    return admitted.without(table, reason_by_place, kept=kept), found[kept], [answered_with[row] for row in kept]


def _repeated(value: pa.Scalar, num_rows: int) -> pa.Array:
    return pa.repeat(value, num_rows)


def _or_own(keys: pa.Array, ids: pa.Array) -> pa.Array:
    """A row without a key is its own: its id."""
    return pa.compute.coalesce(keys, ids) if keys.null_count else keys


def _placed(rejected: pa.Table, *, part: int, rows: NDArray[np.int64]) -> pa.Table:
    numbers = rows[rejected["row"].to_numpy()]
    placed = rejected.set_column(0, "row", pa.array(numbers, pa.int64()))
    return placed.add_column(0, "part", pa.repeat(pa.scalar(part, pa.int32()), rejected.num_rows)).cast(REJECTED)
