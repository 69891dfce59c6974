"""A predictor that asks other workloads: before its own model for inputs and votes, after it where it is unsure.

Reads:  bundles; the routing record that it is handed; other workloads' answers
Writes: write-ahead segments: predictions, labels
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.columns import Vector
from heliostat.declared.inputs import Cascade, Combine, Ensemble, Input
from heliostat.serving import combining
from heliostat.serving.combining import Part
from heliostat.serving.problem import UnavailableError
from heliostat.serving.rows import Cells, Rows
from heliostat.serving.shelf import Shelf
from serve_apps.config import PredictorConfig
from serve_apps.engine.scoring import Answer, Question
from serve_apps.predictor import Predictor
from serve_apps.together.peers import WAY, Asked, Peers
from serve_apps.together.pooled import PooledPredictor


@dataclass(frozen=True, kw_only=True)
class _Draft(Answer):
    """What this workload's own model answers, and the rows of the log that are not written yet."""

    columns: dict[str, Any]


class ComposedPredictor(Predictor):
    """Logs the answer that the caller gets, with what every workload contributed. Requests are scored one by one."""

    def __init__(self, config: PredictorConfig, *, peers: Peers, **others: Any) -> None:
        super().__init__(config, **others)
        self._peers = peers
        self._column_by_name = {column.name: column for column in config.contract.columns}

    async def reconfigure(self, record: Mapping[str, Any]) -> None:
        """As any predictor's; the record also says which applications answer for the workloads that are asked."""
        self._peers.follow(record.get("applications", {}))
        await super().reconfigure(record)

    async def predict(self, rows: Rows, *, deadline_s: float, **asked: Any) -> tuple[list[str], Answer]:
        """The ids and the answers of the rows, logged by then; UnavailableError when one that is needed is missing."""
        self.refuse_too_many(rows.num_rows)
        question = Asked(
            values_by_column=rows.values_by_column,
            keys=rows.keys,
            event_at=rows.event_at,
            due_at=rows.due_at,
            request_id=asked["request_id"],
            received_at=asked["received_at"],
            way=(*WAY.get(), self.config.workload),
            left_s=0.0,
        )
        inputs, votes = await self._before(question, deadline_s=deadline_s)
        filled = {each.column: self._cells(each, part) for each, part in zip(self.config.inputs, inputs, strict=True)}
        filled_rows = replace(rows, values_by_column={**rows.values_by_column, **filled})
        ids, draft = await super().predict(filled_rows, deadline_s=deadline_s, **asked)
        assert isinstance(draft, _Draft)
        answers, parts = await self._combined(draft.probabilities, votes, question, deadline_s=deadline_s)
        self._append(draft, answers, [*inputs, *parts], started_s=asked["started_s"])
        return ids, _said(draft, answers, [*inputs, *parts])

    async def _before(self, question: Asked, *, deadline_s: float) -> tuple[list[Part], list[Part]]:
        """The parts of inputs and of an ensemble's members, asked side by side; one that is both is asked once."""
        combine = self.config.combine
        wanted: list[tuple[str, Input | Ensemble]] = [(each.workload, each) for each in self.config.inputs]
        if isinstance(combine, Ensemble):
            wanted += [(name, combine) for name in combine.weights]
        rows = range(len(question.keys))
        parts = await asyncio.gather(
            *(self._part(*each, question, rows=rows, deadline_s=deadline_s) for each in wanted)
        )
        return parts[: len(self.config.inputs)], parts[len(self.config.inputs) :]

    async def _part(
        self,
        workload: str,
        declared: Input | Combine,
        question: Asked,
        *,
        rows: Sequence[int],
        deadline_s: float,
    ) -> Part:
        num_rows = len(question.keys)
        left_s = deadline_s - time.perf_counter()
        sent = question if len(rows) == num_rows else question.only(rows)
        timeout_s, when_missing = declared.timeout_s, declared.when_missing
        sent = replace(sent, left_s=left_s if timeout_s is None else min(left_s, timeout_s))
        reply = await self._peers.ask(workload, sent)
        if isinstance(declared, Input):
            reply, task = combining.as_cells(reply, self._column_by_name[declared.column]), None
        else:
            reply, task = combining.as_votes(reply, self._task), self._task
        return combining.part(workload, reply, rows=rows, num_rows=num_rows, when_missing=when_missing, task=task)

    def _cells(self, declared: Input, part: Part) -> Cells:
        """The values of a column as rows hold them: vectors are an Arrow array, everything else is a list."""
        column = self._column_by_name[declared.column]
        return pa.array(part.answers, column.arrow_type) if isinstance(column, Vector) else part.answers

    async def _combined(
        self, own: list[Any], votes: list[Part], question: Asked, *, deadline_s: float
    ) -> tuple[list[Any], list[Part]]:
        combine = self.config.combine
        if isinstance(combine, Ensemble):
            return combining.weighted(own, votes, combine), votes
        if isinstance(combine, Cascade):
            return await self._deferred(own, combine, question, deadline_s=deadline_s)
        return own, []

    async def _deferred(
        self, own: list[Any], cascade: Cascade, question: Asked, *, deadline_s: float
    ) -> tuple[list[Any], list[Part]]:
        answers: list[Any] = own
        parts: list[Part] = []
        for workload in cascade.then:
            rows = combining.unsure(answers, cascade.until_confident, self._task)
            if not rows:
                break
            later = await self._part(workload, cascade, question, rows=rows, deadline_s=deadline_s)
            answers = combining.overruled(answers, later)
            parts.append(later)
        return answers, parts

    def _answer_batch(self, questions: Sequence[Question]) -> list[Answer | UnavailableError]:
        return [self._draft(question) for question in questions]

    def _draft(self, question: Question) -> Answer | UnavailableError:
        kept: list[dict[str, Any]] = []
        try:
            (answer,) = self._answered([question], kept.append)
        # For this caller; the others of the batch have their answers.
        except UnavailableError as error:
            return error
        if isinstance(answer, UnavailableError):
            return answer
        return _Draft(**vars(answer), columns=kept[0])

    def _append(self, draft: _Draft, answers: Sequence[Any], parts: Sequence[Part], *, started_s: float) -> None:
        # `degraded` says what it says for any workload, that a version stood in: no canary is blamed for others.
        taken = {
            **self._task.columns(np.asarray(answers, np.float64)),
            "latency_ms": [(time.perf_counter() - started_s) * 1000] * len(answers),
            "answered_with": combining.answered_with(draft.probabilities, parts, self._task),
        }
        self._log.append_predictions({**draft.columns, **taken})


def _said(draft: _Draft, answers: list[Any], parts: Sequence[Part]) -> Answer:
    reasons = [reason for reason in (draft.degraded_reason, combining.degraded_reason(parts)) if reason]
    return Answer(
        probabilities=answers,
        versions=draft.versions,
        degraded=draft.degraded or bool(reasons),
        degraded_reason="; ".join(reasons) or None,
        task=draft.task,
    )


def predictor_of(config: PredictorConfig, peers: Peers) -> Predictor:
    """The predictor of a workload with replicas of its own."""
    return ComposedPredictor(config, peers=peers) if config.asks_others else Predictor(config)


def pooled_predictor_of(config: PredictorConfig, peers: Peers, *, shelf: Shelf, loader: Executor) -> PooledPredictor:
    """The predictor of a workload in the pool."""
    if config.asks_others:
        return ComposedPooledPredictor(config, peers=peers, shelf=shelf, loader=loader)
    return PooledPredictor(config, shelf=shelf, loader=loader)


class ComposedPooledPredictor(ComposedPredictor, PooledPredictor):
    """Asks other workloads, and shares its process."""
