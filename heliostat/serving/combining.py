"""One answer out of several: pure arithmetic on what the other workloads gave, or did not give.

Answers are what the kind of label has for a row: a probability, one probability a class, or the four numbers of a
quantity. Their weighted mean is meant number by number: the means of both ends of intervals, and of deviations, hold
where all err alike, so an ensemble of quantities claims nothing from its members' differing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from heliostat.columns import Column
from heliostat.declared.inputs import RESERVED, Ensemble, WhenMissing
from heliostat.errors import ContractError
from heliostat.serving.filling import filling
from heliostat.serving.problem import UnavailableError
from heliostat.tasks import BINARY, Task


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What another workload answered, row by row; `missing` says why when it did not, and then there are no rows.

    `cells` are the same as values of a column, where they fill one; `missing_by_place` says why single rows have none.
    """

    answers: Sequence[Any] = ()
    versions: Sequence[int] = ()
    ids: Sequence[str | None] = ()
    degraded_reason: str | None = None
    missing: str | None = None
    task: Task = BINARY
    cells: Sequence[Any] | None = None
    missing_by_place: Mapping[int, str] = field(default_factory=dict)

    def reasons(self, num_rows: int) -> dict[int, str]:
        """By the place of a row that has no answer, of so many that were asked, why it has none."""
        everywhere = {} if self.missing is None else dict.fromkeys(range(num_rows), self.missing)
        return {**self.missing_by_place, **everywhere}


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a workload contributes to these rows, None where nothing; `degraded_reason` when not all is well.

    `answers` are votes, or values of the column that they fill; `said` is the answer itself, by the names of the log.
    """

    workload: str
    answers: list[Any]
    versions: list[int | None]
    ids: list[str | None]
    said: list[Mapping[str, Any]]
    degraded_reason: str | None = None


def as_votes(reply: Reply, task: Task) -> Reply:
    """The reply if its answers mean the same as those of `task`, else one that says that there is none."""
    if reply.missing is not None or task.is_like(reply.task):
        return reply
    return Reply(missing=f"it answers {reply.task.label}, which cannot be counted beside {task.label}")


def as_cells(reply: Reply, column: Column) -> Reply:
    """The reply as values of the column; one that says why where the column cannot hold them."""
    if reply.missing is not None:
        return reply
    try:
        filled = filling(reply.answers, reply.task, column)
    except ContractError as error:
        return Reply(missing=str(error))
    said = {place: f"column {column.name!r} {why}" for place, why in filled.reason_by_place.items()}
    return replace(reply, cells=filled.plain, missing_by_place={**said, **reply.missing_by_place})


def stand_in_of(when_missing: WhenMissing, task: Task | None) -> Any:
    """What counts in place of an answer of `task` (None: of a value of a column), None where nothing does."""
    if when_missing in RESERVED:
        return None
    if task is None:
        return when_missing if isinstance(when_missing, str) else float(when_missing)
    answer = task.default_answer(when_missing)
    return None if answer is None else answer.tolist()


def part(
    workload: str,
    reply: Reply,
    *,
    rows: Sequence[int],
    num_rows: int,
    when_missing: WhenMissing,
    task: Task | None = BINARY,
) -> Part:
    """The reply for `rows` of all rows, or what is declared in its place; UnavailableError when that is "fail".

    `task` is the kind of answer that is counted, None for a value of a column.
    """
    missing = reply.reasons(len(rows))
    if missing and when_missing == "fail":
        why = missing[min(missing)]
        raise UnavailableError(f"The workload {workload!r}, whose answer is needed, gave none: {why}")
    stand_in = stand_in_of(when_missing, task)
    made = Part(
        workload=workload,
        answers=[None] * num_rows,
        versions=[None] * num_rows,
        ids=[None] * num_rows,
        said=[{}] * num_rows,
        degraded_reason=_reason(workload, reply, missing, instead=None if stand_in is None else str(when_missing)),
    )
    given, said = reply.answers if reply.cells is None else reply.cells, _by_name(reply.answers, reply.task)
    for place, row in enumerate(rows):
        if place in missing:
            made.answers[row] = stand_in
            made.said[row] = {} if stand_in is None else {"stands_in": when_missing}
        else:
            made.answers[row], made.said[row] = given[place], said[place]
            made.versions[row], made.ids[row] = reply.versions[place], reply.ids[place]
    return made


def weighted(own: Sequence[Any], parts: Sequence[Part], ensemble: Ensemble) -> list[Any]:
    """The weighted mean of each row over those that answered it."""
    total = ensemble.own * np.asarray(own, np.float64)
    weights = np.full(len(own), ensemble.own)
    for each in parts:
        rows = [row for row, answer in enumerate(each.answers) if answer is not None]
        weight = ensemble.weights[each.workload]
        if rows:
            total[rows] += weight * np.asarray([each.answers[row] for row in rows], np.float64)
            weights[rows] += weight
    means: list[Any] = (total / weights.reshape(-1, *[1] * (total.ndim - 1))).tolist()
    return means


def unsure(answers: Sequence[Any], until_confident: float, task: Task = BINARY) -> list[int]:
    """The rows whose likeliest label is less likely than that."""
    sureness = task.sureness(np.asarray(answers, np.float64).reshape(-1, *task.shape))
    return [] if sureness is None else np.flatnonzero(sureness < until_confident).tolist()


def overruled(before: Sequence[Any], later: Part) -> list[Any]:
    """The later answer where there is one, else the one before."""
    return [old if new is None else new for old, new in zip(before, later.answers, strict=True)]


def degraded_reason(parts: Sequence[Part]) -> str | None:
    """All that is not well, None when all is."""
    return "; ".join(each.degraded_reason for each in parts if each.degraded_reason is not None) or None


def answered_with(own: Sequence[Any], parts: Sequence[Part], task: Task = BINARY) -> list[str]:
    """For the log, a JSON object a row: what this workload's own model said, and each other with version and id."""
    said = own if not task.shape else _by_name(own, task)
    logged = []
    for row, answer in enumerate(said):
        others: Mapping[str, object] = {
            each.workload: {**each.said[row], "version": each.versions[row], "id": each.ids[row]}
            for each in parts
            if each.answers[row] is not None or each.degraded_reason is not None
        }
        logged.append(json.dumps({"own": answer, "others": others}))
    return logged


def _by_name(answers: Sequence[Any], task: Task) -> list[dict[str, Any]]:
    """Answers as the log names them."""
    values = np.asarray(answers, np.float64).reshape(-1, *task.shape)
    columns = {name: column.to_pylist() for name, column in task.columns(values).items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(values))]


def _reason(workload: str, reply: Reply, missing: Mapping[int, str], *, instead: str | None) -> str | None:
    said = [] if reply.degraded_reason is None else [f"{workload}: {reply.degraded_reason}"]
    if missing:
        rows = "" if reply.missing is not None else f" for {len(missing)} rows"
        then = "it was left out" if instead is None else f"{instead} stands in"
        said.append(f"{workload} gave no answer{rows} ({missing[min(missing)]}); {then}")
    return "; ".join(said) or None
