"""Models that ask models, over the rows of a table: the same arithmetic as for requests, in one process.

Who is asked is pinned: the others' champions when the work began. Each reads its columns from the row, and what it said
of a row is not logged as an answer of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column, violations
from heliostat.declared.inputs import Cascade, Combine, Ensemble, Input, WhenMissing
from heliostat.declared.revisions import as_trained
from heliostat.errors import ContractError
from heliostat.serving import combining
from heliostat.serving.combining import Part, Reply


class Answers(Protocol):
    """A version that answers normalised rows."""

    def answers(self, table: pa.Table) -> NDArray[np.float64]:
        """One probability a row, in the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One probability a row; `refused` are rows that get none, with the reason, because a needed answer is missing.

    `rows` are the asked ones with the columns that others filled.
    """

    rows: pa.Table
    own: list[float]
    probabilities: list[float]
    parts: list[Part]
    refused: Mapping[int, str]

    @property
    def answered_with(self) -> list[str]:
        """For the log: what the own model said of each row, and every other."""
        return combining.answered_with(self.own, self.parts)

    @property
    def degraded_reason(self) -> str | None:
        """Who gave no answer, None when all did."""
        return combining.degraded_reason(self.parts)


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A version and those that it asks; who is not in `other_by_workload` has no version that serves.

    `columns` and `renamed` are what another one's rows are read by before it asks this one.
    """

    number: int
    model: Answers
    columns: Sequence[Column] = ()
    inputs: Sequence[Input] = ()
    combine: Combine | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    other_by_workload: Mapping[str, "Composed"] = field(default_factory=dict)

    def said(self, table: pa.Table) -> Said:
        """The answers for rows that keep this version's contract."""
        refused: dict[int, str] = {}
        filled, inputs = table, []
        for each in self.inputs:
            part = self._part(each.workload, each.when_missing, table, range(table.num_rows), refused)
            column = pa.array(part.probabilities, pa.float64())
            place = filled.schema.get_field_index(each.column)
            filled = filled.set_column(place, each.column, column)
            inputs.append(part)
        own = [float(p) for p in self.model.answers(filled)]
        probabilities, parts = self._combined(own, table, refused)
        return Said(rows=filled, own=own, probabilities=probabilities, parts=[*inputs, *parts], refused=refused)

    def _combined(self, own: list[float], table: pa.Table, refused: dict[int, str]) -> tuple[list[float], list[Part]]:
        combine, every = self.combine, range(table.num_rows)
        if isinstance(combine, Ensemble):
            votes = [self._part(name, combine.when_missing, table, every, refused) for name in combine.weights]
            return combining.weighted(own, votes, combine), votes
        parts: list[Part] = []
        probabilities = own
        for name in combine.then if isinstance(combine, Cascade) else ():
            assert isinstance(combine, Cascade)
            rows = combining.unsure(probabilities, combine.until_confident)
            if not rows:
                break
            parts.append(self._part(name, combine.when_missing, table, rows, refused))
            probabilities = combining.overruled(probabilities, parts[-1])
        return probabilities, parts

    def _part(
        self, workload: str, when_missing: WhenMissing, table: pa.Table, rows: Sequence[int], refused: dict[int, str]
    ) -> Part:
        """What the other says of `rows`; the rows that it cannot answer are filled as declared, or refused."""
        reply_by_row, missing_by_row = self._asked(workload, table, rows)
        stand_in = None if isinstance(when_missing, str) else float(when_missing)
        num_rows = table.num_rows
        answered = Reply(
            probabilities=[probability for probability, _ in reply_by_row.values()],
            versions=[number for _, number in reply_by_row.values()],
            ids=[""] * len(reply_by_row),
        )
        part = combining.part(workload, answered, rows=list(reply_by_row), num_rows=num_rows, when_missing=when_missing)
        if not missing_by_row:
            return replace(part, ids=[None] * num_rows)
        probabilities = list(part.probabilities)
        for row, why in missing_by_row.items():
            probabilities[row] = stand_in
            if when_missing == "fail":
                refused[row] = f"the workload {workload!r}, whose answer is needed, gave none: {why}"
        why = next(iter(missing_by_row.values()))
        reason = f"{workload} gave no answer for {len(missing_by_row)} rows ({why})"
        return replace(part, ids=[None] * num_rows, probabilities=probabilities, degraded_reason=reason)

    def _asked(
        self, workload: str, table: pa.Table, rows: Sequence[int]
    ) -> tuple[dict[int, tuple[float, int]], dict[int, str]]:
        """By row (probability, version), and the reason where there is none."""
        other = self.other_by_workload.get(workload)
        if other is None:
            return {}, dict.fromkeys(rows, "no version of it serves")
        asked = table if len(rows) == table.num_rows else table.take(pa.array(rows, pa.int64()))
        try:
            readable = as_trained(asked, other.columns, renamed=other.renamed)
        except ContractError as error:
            return {}, dict.fromkeys(rows, str(error))
        broken = {found.row: str(found).partition(": ")[2] for found in violations(readable, other.columns)}
        good = [place for place in range(len(rows)) if place not in broken]
        missing = {rows[place]: why for place, why in broken.items()}
        if not good:
            return {}, missing
        said = other.said(readable.take(pa.array(good, pa.int64())) if broken else readable)
        found: dict[int, tuple[float, int]] = {}
        for place, probability in zip(good, said.probabilities, strict=True):
            found[rows[place]] = (probability, other.number)
        for place, why in said.refused.items():
            row = rows[good[place]]
            missing[row] = why
            del found[row]
        bad = [row for row, (probability, _) in found.items() if not np.isfinite(probability)]
        for row in bad:
            missing[row] = "it gave no finite probability"
            del found[row]
        return found, missing
