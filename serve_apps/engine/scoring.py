"""One micro-batch from questions to answers: route, score, log; nothing is answered that was not logged."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import Column
from heliostat.serving.problem import UnavailableError
from heliostat.serving.routing import Arm, arm_of, arms_of, version_of
from heliostat.serving.rows import Rows
from heliostat.tasks import BINARY, Task, repeated
from serve_apps.engine.shadow import Answered
from serve_apps.engine.versions import Live, Probabilities, Scorer
from serve_apps.protocols.arrays import arrays_of

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
    """What the caller of one question gets, row by row; `probabilities` are answers as `task` has them."""

    probabilities: list[Any]
    versions: list[int]
    degraded: bool
    degraded_reason: str | None = None
    task: Task = BINARY


@dataclass(frozen=True, kw_only=True)
class _Scored:
    arms: list[Arm]
    versions: Sequence[int]
    degraded: Sequence[bool]
    reasons: Sequence[str]
    answers: Probabilities
    model_ms: Sequence[float]


def answer_batch(
    questions: Sequence[Question],
    live: Live,
    *,
    scorer: Scorer,
    default: float | str | None,
    columns: Sequence[Column],
    append: Callable[[dict[str, Any]], None],
    offer: Callable[[Answered], None] = lambda _: None,
    task: Task = BINARY,
) -> list[Answer | UnavailableError]:
    """One answer a question, or why it has none; the rows of all that have one are appended before this returns.

    As one record batch, unless a version failed on them: one caller's rows may be why, so each question is then asked
    alone. While a candidate is on trial they are offered too, for the version that did not answer them.
    """
    answer = partial(
        _answer_together,
        live=live,
        scorer=scorer,
        default=None if default is None else task.default_answer(default),
        columns=columns,
        append=append,
        offer=offer,
        task=task,
    )
    together = answer(questions)
    return [_alone(answer, question) for question in questions] if together is None else [*together]


def _alone(
    answer: Callable[[Sequence[Question]], list[Answer] | None], question: Question
) -> Answer | UnavailableError:
    try:
        found = answer([question])
    except UnavailableError as error:
        return error
    assert found is not None  # only several are parted
    return found[0]


def _answer_together(
    questions: Sequence[Question],
    live: Live,
    *,
    scorer: Scorer,
    default: Probabilities | None,
    columns: Sequence[Column],
    append: Callable[[dict[str, Any]], None],
    offer: Callable[[Answered], None],
    task: Task,
) -> list[Answer] | None:
    """None, and nothing is logged, when a version failed on the rows of several questions."""
    arrays = arrays_of([question.rows for question in questions], columns)
    table = pa.table(arrays)
    num_errors, failed = scorer.num_errors, None
    try:
        scored = _score(questions, live, scorer=scorer, default=default, table=table, task=task)
    except UnavailableError as error:
        failed = error
    if len(questions) > 1 and scorer.num_errors != num_errors:
        return None
    if failed is not None:
        raise failed
    logged = _log_columns(questions, scored, task)
    append({**logged, **arrays})
    if live.route.candidate is not None:
        offer(
            Answered(
                live=live,
                ids=logged["id"],
                event_at=logged["event_at"],
                table=table,
                arms=scored.arms,
                degraded=scored.degraded,
                model_ms=scored.model_ms,
            )
        )
    return _split(questions, scored, task)


def _score(
    questions: Sequence[Question],
    live: Live,
    *,
    scorer: Scorer,
    default: Probabilities | None,
    table: pa.Table,
    task: Task,
) -> _Scored:
    arms, assigned = _assign(questions, live)
    if assigned.count(assigned[0]) == len(assigned):  # as it is while nothing is on trial
        return _scored_by_one(assigned[0], arms, table, live=live, scorer=scorer, default=default)
    wanted = np.array(assigned)
    told = np.empty((table.num_rows, *task.shape))
    versions, degraded = assigned.copy(), [False] * table.num_rows
    reasons, model_ms = [""] * table.num_rows, [0.0] * table.num_rows
    for number in sorted(set(assigned)):
        mask = wanted == number
        # Its own rows alone: what the other version says to them is asked when the answers are gone.
        rows = table.filter(pa.array(mask))
        one = _scored_by_one(number, [], rows, live=live, scorer=scorer, default=default)
        told[mask] = one.answers
        for place, row in enumerate(np.flatnonzero(mask).tolist()):
            versions[row], degraded[row] = one.versions[place], one.degraded[place]
            reasons[row], model_ms[row] = one.reasons[place], one.model_ms[place]
    return _Scored(arms=arms, versions=versions, degraded=degraded, reasons=reasons, answers=told, model_ms=model_ms)


def _scored_by_one(
    number: int,
    arms: list[Arm],
    table: pa.Table,
    *,
    live: Live,
    scorer: Scorer,
    default: Probabilities | None,
) -> _Scored:
    """All rows asked of one version, or of what answers in its place."""
    num_rows = table.num_rows
    started_s, num_hits = time.perf_counter(), scorer.num_hits
    answering, scores = _first_able(live, number, scorer=scorer, default=default, table=table)
    # Answers that were kept say nothing about how long the model takes.
    model_ms = (time.perf_counter() - started_s) * 1000 if scorer.num_hits == num_hits else np.nan
    is_degraded = answering != number
    return _Scored(
        arms=arms,
        versions=[answering] * num_rows,
        degraded=[is_degraded] * num_rows,
        reasons=[_reason(number, answering, scorer=scorer) if is_degraded else ""] * num_rows,
        answers=scores,
        model_ms=[model_ms] * num_rows,
    )


def _assign(questions: Sequence[Question], live: Live) -> tuple[list[Arm], list[int]]:
    route = live.route
    arms: list[Arm] = []
    for question in questions:
        if question.version is not None:
            arms.extend([arm_of(route, question.version)] * question.rows.num_rows)
        else:
            arms.extend(arms_of(route, question.rows.keys))
    version_by_arm = {which: version_of(route, which) for which in set(arms)}
    known = {which: version for which, version in version_by_arm.items() if version is not None}
    if len(known) != len(version_by_arm):
        raise UnavailableError("No version serves yet: train one and promote it (jobs.train, jobs.promote).")
    return arms, [known[which] for which in arms]


def _first_able(
    live: Live,
    number: int,
    *,
    scorer: Scorer,
    default: Probabilities | None,
    table: pa.Table,
) -> tuple[int, Probabilities]:
    """What answers in place of `number`: itself, else the champion, else the one before, else the declared default."""
    tried = dict.fromkeys((number, live.route.champion, live.route.previous))
    for able in tried:
        scores = None if able is None else scorer.answers(live, able, table)
        if able is not None and scores is not None:
            return able, scores
    if default is None:
        raise UnavailableError(
            f"Version {number} {scorer.reason_by_version[number]}, and no other version could answer; see v1/status."
        )
    return DEFAULT_VERSION, repeated(default, table.num_rows)


def _reason(number: int, answering: int, *, scorer: Scorer) -> str:
    instead = "the workload's default" if answering == DEFAULT_VERSION else f"version {answering}"
    return f"version {number} {scorer.reason_by_version[number]}; {instead} answered"


def _log_columns(questions: Sequence[Question], scored: _Scored, task: Task) -> dict[str, Any]:
    now_s = time.perf_counter()
    sizes = [question.rows.num_rows for question in questions]
    return {
        "id": _joined(q.ids for q in questions),
        "request_id": _repeated([q.request_id for q in questions], sizes),
        "row": _joined(range(size) for size in sizes) if max(sizes) > 1 else [0] * len(sizes),
        "key": _joined(q.rows.keys for q in questions),
        "event_at": _joined(q.rows.event_at for q in questions),
        "due_at": _joined(q.rows.due_at for q in questions),
        "received_at": _repeated([q.received_at for q in questions], sizes),
        "revision": _repeated([q.rows.revision for q in questions], sizes),
        "version": scored.versions,
        "arm": scored.arms,
        "degraded": scored.degraded,
        **task.columns(scored.answers),
        "answered_with": [None] * sum(sizes),
        "latency_ms": _repeated([(now_s - q.started_s) * 1000 for q in questions], sizes),
    }


def _split(questions: Sequence[Question], scored: _Scored, task: Task) -> list[Answer]:
    answers: list[Answer] = []
    probabilities, start = scored.answers.tolist(), 0
    for question in questions:
        end = start + question.rows.num_rows
        answers.append(
            Answer(
                probabilities=probabilities[start:end],
                versions=list(scored.versions[start:end]),
                degraded=any(scored.degraded[start:end]),
                degraded_reason=_joined_reasons(scored.reasons[start:end]) if any(scored.degraded) else None,
                task=task,
            )
        )
        start = end
    return answers


def _joined_reasons(reasons: Sequence[str]) -> str | None:
    return "; ".join(sorted({reason for reason in reasons if reason})) or None


def _joined(parts: Iterable[Iterable[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def _repeated(values: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    if sizes.count(1) == len(sizes):  # a row each, as most requests have
        return list(values)
    return list(chain.from_iterable(map(repeat, values, sizes)))
