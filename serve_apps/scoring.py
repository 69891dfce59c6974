"""One micro-batch from questions to answers: route, score, log; nothing is answered that was not logged."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import Column
from heliostat.serving.problem import UnavailableError
from heliostat.serving.routing import Arm, arm, arm_of, version_of
from heliostat.serving.rows import Cells, Rows
from serve_apps.versions import Live, Probabilities, Scorer

DEFAULT_VERSION = 0
"""What is said and logged as the version of rows that the workload's declared default answered: versions begin at 1."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request's rows; `version` is set when the caller named one."""

    rows: Rows
    ids: list[str]
    request_id: str
    received_at: datetime
    started_s: float
    deadline_s: float
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the caller of one question gets, row by row."""

    probabilities: list[float]
    versions: list[int]
    degraded: bool
    degraded_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Scored:
    arms: list[Arm]
    versions: Sequence[int]
    degraded: Sequence[bool]
    reasons: Sequence[str]
    probability: Probabilities
    champion: Probabilities | None
    candidate: Probabilities | None


def answer_batch(
    questions: Sequence[Question],
    live: Live,
    *,
    scorer: Scorer,
    default: float | None,
    columns: Sequence[Column],
    append: Callable[[dict[str, Any]], None],
) -> list[Answer]:
    """One answer a question; the rows of all of them are appended as one record batch before this returns."""
    arrays = {
        column.name: _array([question.rows.values_by_column[column.name] for question in questions], column)
        for column in columns
    }
    scored = _score(questions, live, scorer=scorer, default=default, table=pa.table(arrays))
    append({**_log_columns(questions, scored), **arrays})
    return _split(questions, scored)


def _score(
    questions: Sequence[Question], live: Live, *, scorer: Scorer, default: float | None, table: pa.Table
) -> _Scored:
    arms, assigned = _assign(questions, live)
    route = live.route
    on_trial = route.candidate is not None
    wanted = set(assigned) | ({route.champion, route.candidate} if on_trial else set())
    scores = {n: scorer.probabilities(live, n, table) for n in sorted(v for v in wanted if v is not None)}
    versions, degraded = np.array(assigned), np.zeros(table.num_rows, dtype=bool)
    probability = np.empty(table.num_rows)
    reasons = [""] * table.num_rows
    for number in set(assigned):
        mask = versions == number
        answering = _first_able(live, number, scorer=scorer, scores=scores, default=default, table=table)
        probability[mask] = scores[answering][mask]  # type: ignore[index]
        versions[mask] = answering
        if answering != number:
            degraded[mask] = True
            reason = _reason(number, answering, scorer=scorer)
            reasons = [reason if is_meant else text for is_meant, text in zip(mask.tolist(), reasons, strict=True)]
    return _Scored(
        arms=arms,
        versions=versions.tolist(),
        degraded=degraded.tolist(),
        reasons=reasons,
        probability=probability,
        champion=scores.get(route.champion) if on_trial and route.champion is not None else None,
        candidate=scores.get(route.candidate) if route.candidate is not None else None,
    )


def _assign(questions: Sequence[Question], live: Live) -> tuple[list[Arm], list[int]]:
    route = live.route
    arms: list[Arm] = []
    for question in questions:
        if question.version is not None:
            arms.extend([arm_of(route, question.version)] * question.rows.num_rows)
        else:
            arms.extend(arm(route, key) for key in question.rows.keys)
    versions = [version_of(route, which) for which in arms]
    known = [version for version in versions if version is not None]
    if len(known) != len(arms):
        raise UnavailableError("No version serves yet: train one and promote it (jobs.train, jobs.promote).")
    return arms, known


def _first_able(
    live: Live,
    number: int,
    *,
    scorer: Scorer,
    scores: dict[int, Probabilities | None],
    default: float | None,
    table: pa.Table,
) -> int:
    """What answers in place of `number`: itself, else the champion, else the one before, else the declared default."""
    for able in (number, live.route.champion, live.route.previous):
        if able is not None and able not in scores:
            scores[able] = scorer.probabilities(live, able, table)
        if able is not None and scores[able] is not None:
            return able
    if default is None:
        raise UnavailableError(
            f"Version {number} {scorer.reason_by_version[number]}, and no other version could answer; see v1/status."
        )
    scores[DEFAULT_VERSION] = np.full(table.num_rows, default)
    return DEFAULT_VERSION


def _reason(number: int, answering: int, *, scorer: Scorer) -> str:
    instead = "the workload's default" if answering == DEFAULT_VERSION else f"version {answering}"
    return f"version {number} {scorer.reason_by_version[number]}; {instead} answered"


def _log_columns(questions: Sequence[Question], scored: _Scored) -> dict[str, Any]:
    now_s = time.perf_counter()
    sizes = [question.rows.num_rows for question in questions]
    return {
        "id": _joined(q.ids for q in questions),
        "request_id": _repeated([q.request_id for q in questions], sizes),
        "row": _joined(range(size) for size in sizes),
        "key": _joined(q.rows.keys for q in questions),
        "event_at": _joined(q.rows.event_at for q in questions),
        "due_at": _joined(q.rows.due_at for q in questions),
        "received_at": _repeated([q.received_at for q in questions], sizes),
        "revision": _repeated([q.rows.revision for q in questions], sizes),
        "version": scored.versions,
        "arm": scored.arms,
        "degraded": scored.degraded,
        "probability": scored.probability,
        "champion_probability": _or_nulls(scored.champion, sum(sizes)),
        "candidate_probability": _or_nulls(scored.candidate, sum(sizes)),
        "latency_ms": _repeated([(now_s - q.started_s) * 1000 for q in questions], sizes),
    }


def _split(questions: Sequence[Question], scored: _Scored) -> list[Answer]:
    answers: list[Answer] = []
    probabilities, start = scored.probability.tolist(), 0
    for question in questions:
        end = start + question.rows.num_rows
        answers.append(
            Answer(
                probabilities=probabilities[start:end],
                versions=list(scored.versions[start:end]),
                degraded=any(scored.degraded[start:end]),
                degraded_reason=_joined_reasons(scored.reasons[start:end]) if any(scored.degraded) else None,
            )
        )
        start = end
    return answers


def _joined_reasons(reasons: Sequence[str]) -> str | None:
    return "; ".join(sorted({reason for reason in reasons if reason})) or None


def _array(parts: Sequence[Cells], column: Column) -> pa.Array:
    """The parts as one array; a part that is one already, and alone, is not copied."""
    if not any(isinstance(part, pa.Array) for part in parts):
        return pa.array(_joined(parts), column.arrow_type)
    arrays = [part if isinstance(part, pa.Array) else pa.array(part, column.arrow_type) for part in parts]
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _joined(parts: Iterable[Iterable[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def _repeated(values: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]


def _or_nulls(values: Probabilities | None, num_rows: int) -> Any:
    return pa.nulls(num_rows, pa.float64()) if values is None else values
