"""Models that ask models, over the rows of a table: the same arithmetic as for requests, in one process.

Who is asked is pinned: the others' champions when the work began. Each reads its columns from the row, and what it said
of a row is not logged as an answer of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column, violations
from heliostat.declared.inputs import Cascade, Combine, Ensemble, Input, WhenMissing
from heliostat.declared.revisions import as_trained
from heliostat.errors import ContractError
from heliostat.serving import combining
from heliostat.serving.combining import Part, Reply
from heliostat.tasks import BINARY, Task


class Answers(Protocol):
    """A version that answers normalised rows."""

    def answers(self, table: pa.Table) -> NDArray[np.float64]:
        """One answer a row, as the kind of its label has them, in the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer a row; `refused` are rows that get none, with the reason, because a needed answer is missing.

    `rows` are the asked ones with the columns that others filled.
    """

    rows: pa.Table
    own: list[Any]
    answers: list[Any]
    parts: list[Part]
    refused: Mapping[int, str]
    task: Task = BINARY

    @property
    def answered_with(self) -> list[str]:
        """For the log: what the own model said of each row, and every other."""
        return combining.answered_with(self.own, self.parts, self.task)

    @property
    def degraded_reason(self) -> str | None:
        """Who gave no answer, None when all did."""
        return combining.degraded_reason(self.parts)


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A version and those that it asks; who is not in `other_by_workload` has no version that serves.

    `columns` and `renamed` are what another one's rows are read by before it asks this one; `task` is what it answers.
    """

    number: int
    model: Answers
    columns: Sequence[Column] = ()
    inputs: Sequence[Input] = ()
    combine: Combine | None = None
    task: Task = BINARY
    renamed: Mapping[str, str] = field(default_factory=dict)
    other_by_workload: Mapping[str, "Composed"] = field(default_factory=dict)

    def said(self, table: pa.Table) -> Said:
        """The answers for rows that keep this version's contract."""
        refused: dict[int, str] = {}
        filled, inputs = table, []
        for each in self.inputs:
            column = self._column(each.column)
            part = self._part(each.workload, each.when_missing, table, range(table.num_rows), refused, column=column)
            place = filled.schema.get_field_index(each.column)
            filled = filled.set_column(place, each.column, pa.array(part.answers, column.arrow_type))
            inputs.append(part)
        own: list[Any] = self.model.answers(filled).tolist()
        answers, parts = self._combined(own, table, refused)
        return Said(rows=filled, own=own, answers=answers, parts=[*inputs, *parts], refused=refused, task=self.task)

    def _combined(self, own: list[Any], table: pa.Table, refused: dict[int, str]) -> tuple[list[Any], list[Part]]:
        combine, every = self.combine, range(table.num_rows)
        if isinstance(combine, Ensemble):
            votes = [self._part(name, combine.when_missing, table, every, refused) for name in combine.weights]
            return combining.weighted(own, votes, combine), votes
        parts: list[Part] = []
        answers = own
        for name in combine.then if isinstance(combine, Cascade) else ():
            assert isinstance(combine, Cascade)
            rows = combining.unsure(answers, combine.until_confident, self.task)
            if not rows:
                break
            parts.append(self._part(name, combine.when_missing, table, rows, refused))
            answers = combining.overruled(answers, parts[-1])
        return answers, parts

    def _column(self, name: str) -> Column:
        """The declared column of that name."""
        return next(column for column in self.columns if column.name == name)

    def _part(
        self,
        workload: str,
        when_missing: WhenMissing,
        table: pa.Table,
        rows: Sequence[int],
        refused: dict[int, str],
        *,
        column: Column | None = None,
    ) -> Part:
        """What the other says of `rows`; the rows that it cannot answer are filled as declared, or refused."""
        reply = self._asked(workload, table, rows)
        reply = combining.as_votes(reply, self.task) if column is None else combining.as_cells(reply, column)
        if when_missing == "fail":
            for place, why in reply.reasons(len(rows)).items():
                refused[rows[place]] = f"the workload {workload!r}, whose answer is needed, gave none: {why}"
            when_missing = "leave out"
        task = self.task if column is None else None
        return combining.part(workload, reply, rows=rows, num_rows=table.num_rows, when_missing=when_missing, task=task)

    def _asked(self, workload: str, table: pa.Table, rows: Sequence[int]) -> Reply:
        """What the other's version says of the rows that it can read."""
        other = self.other_by_workload.get(workload)
        if other is None:
            return Reply(missing="no version of it serves")
        asked = table if len(rows) == table.num_rows else table.take(pa.array(rows, pa.int64()))
        try:
            readable = as_trained(asked, other.columns, renamed=other.renamed)
        except ContractError as error:
            return Reply(missing=str(error))
        missing = {found.row: str(found).partition(": ")[2] for found in violations(readable, other.columns)}
        good = [place for place in range(len(rows)) if place not in missing]
        # A row that was not asked has a place, but no answer.
        answers = np.full((len(rows), *other.task.shape), np.nan)
        if good:
            said = other.said(readable.take(pa.array(good, pa.int64())) if missing else readable)
            answers[good] = np.asarray(said.answers, np.float64).reshape(len(good), *other.task.shape)
            missing |= {good[place]: why for place, why in said.refused.items()}
        for place in np.flatnonzero(~other.task.are_answers(answers)).tolist():
            missing.setdefault(place, "it gave no finite answer")
        return Reply(
            answers=answers.tolist(),
            versions=[other.number] * len(rows),
            ids=[None] * len(rows),
            task=other.task,
            missing_by_place=missing,
        )
