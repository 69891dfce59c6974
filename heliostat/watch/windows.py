"""Windows of event time being filled: rows come in any order, late ones reopen their window."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.tasks import BINARY, Task
from heliostat.watch import group_estimates
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.counts import Counts
from heliostat.watch.estimates import AnswerTally, estimates
from heliostat.watch.events import WindowClosed
from heliostat.watch.expectations import ExpectedTally
from heliostat.watch.group_estimates import ByGroup
from heliostat.watch.profile import NOT_INPUTS, Profile
from heliostat.watch.sketches import LATENCY, NumberSketch, Sketch, TextSketch, add_rows, sketch_from_json, to_json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Mask = NDArray[np.bool_]
Kept = TypeVar("Kept")
NUM_KEPT = 64  # closed windows that a late row can still reach
NUM_SKETCHED = 2  # the one that fills and the one before; a sketch is a hundred times as large as counts


def window_start(at: datetime, span: timedelta) -> datetime:
    """The start of the window that holds an instant; windows lie end to end from 1970 on."""
    return EPOCH + (at - EPOCH) // span * span


def unsent_cells(rows: pa.Table, sent_by_revision: Mapping[int, Sequence[str]]) -> dict[str, Mask]:
    """By column, the logged cells that were filled in because the row's contract revision does not have the column.

    What was filled in says nothing about the world, so it must not look like drift.
    """
    revisions = rows["revision"].to_numpy()  # null (logged before there were revisions) is NaN, and equals none
    columns = {name for names in sent_by_revision.values() for name in names}
    masks = {
        name: np.isin(revisions, [number for number, sent in sent_by_revision.items() if name not in sent])
        for name in sorted(columns)
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


class Windows:
    """Counts by window for one version's profile; the order of rows inside a window never matters."""

    def __init__(
        self,
        profile: Profile,
        *,
        version: int,
        span: timedelta,
        has_sketches: bool = False,
        task: Task = BINARY,
        grouped_by: Sequence[str] = (),
    ) -> None:
        self._profile, self._version, self._span, self._task = profile, version, span, task
        self._has_sketches, self._groups = has_sketches, profile.bins_of(grouped_by)
        self._by_group: dict[datetime, ByGroup] = {}
        self._sketches: dict[datetime, dict[str, Sketch]] = {}
        self._counts: dict[datetime, Counts] = {}
        self._answered: dict[datetime, AnswerTally] = {}
        self._expected: dict[datetime, ExpectedTally] = {}
        self._changed: set[datetime] = set()
        self._closed_until: datetime | None = None
        self.num_too_late = 0

    @property
    def version(self) -> int:
        """The version whose profile the rows are compared with."""
        return self._version

    @property
    def profile(self) -> Profile:
        """What the rows are compared with."""
        return self._profile

    def add(
        self,
        table: pa.Table,
        output: pa.Array | NDArray[np.float64],
        *,
        unsent: Mapping[str, Mask] | None = None,
        answers: NDArray[np.float64] | None = None,
        clock: datetime | None = None,
    ) -> None:
        """Count normalised rows (with `event_at`) and the task's output for them; each row must be given once.

        `unsent` marks cells by column that no caller said: they count nowhere. Where rows have `version` and
        `degraded`, only the watched version's own answers are asked what they expect: of probabilities of two values
        the output is enough, of other kinds `answers` are needed, and of classes for their confidence too. Of windows
        that lie more than one ahead of `clock` no sketches are kept: they would take the place of those that fill now.
        """
        own = self._own(table)
        event_at = table.column("event_at").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
        places = np.asarray(event_at) // (self._span // MICROSECOND)
        told = pa.array(output)
        sureness = None if answers is None else self._task.sureness(answers)
        given = told.to_numpy(zero_copy_only=False) if self._profile.is_of_probabilities else answers
        for place in np.unique(places).tolist():
            since, rows = EPOCH + place * self._span, places == place
            if self._is_forgotten(since):
                self.num_too_late += int(rows.sum())
                continue
            here = {name: cells[rows] for name, cells in (unsent or {}).items()}
            mask = pa.array(rows)
            sure = None if sureness is None else sureness[rows]
            counted = self._profile.count(table.filter(mask), told.filter(mask), unsent=here, sureness=sure)
            self._counts[since] = self._counts.get(since, self._profile.empty) + counted
            if self._profile.is_of_probabilities:
                answered = AnswerTally.of(told.filter(pa.array(rows & own)).to_numpy(zero_copy_only=False))
                self._answered[since] = self._answered.get(since, AnswerTally()) + answered
            elif answers is not None:
                expected = ExpectedTally.of(self._task, answers[rows & own])
                self._expected[since] = self._expected.get(since, ExpectedTally()) + expected
            if self._groups and given is not None:
                found = self._tallied(table, given, rows & own, unsent or {})
                self._by_group[since] = group_estimates.added(self._by_group.get(since, {}), found)
            self._changed.add(since)
            if self._has_sketches and (clock is None or since - clock <= self._span):
                sketched = self._sketched(since, has_latency=LATENCY in table.column_names)
                add_rows(sketched, table.filter(pa.array(rows)), unsent=here)
        newest = sorted(self._sketches)[-NUM_SKETCHED:]
        self._sketches = {since: self._sketches[since] for since in newest}

    def _tallied(
        self, table: pa.Table, answers: NDArray[np.float64], rows: Mask, unsent: Mapping[str, Mask]
    ) -> ByGroup:
        return group_estimates.tallied(
            table.filter(pa.array(rows)),
            self._groups,
            task=self._task,
            answers=answers[rows],
            unsent={name: cells[rows] for name, cells in unsent.items()},
        )

    def estimated_groups(self, since: datetime) -> ByGroup:
        """What the watched version's answers of the window that began then expect of themselves, by group."""
        return self._by_group.get(since, {})

    def sketches(self, since: datetime) -> Mapping[str, Sketch]:
        """The sketches of the window that began then, by column; none where they were not kept."""
        return self._sketches.get(since, {})

    def _sketched(self, since: datetime, *, has_latency: bool) -> dict[str, Sketch]:
        if since not in self._sketches:
            inputs = [one for one in self._profile.bins if one.name == one.source]
            self._sketches[since] = {
                one.name: NumberSketch() if isinstance(one, NumberBins) else TextSketch()
                for one in inputs
                if isinstance(one, NumberBins | CategoryBins) and one.name not in NOT_INPUTS
            }
        if has_latency:
            self._sketches[since].setdefault(LATENCY, NumberSketch())
        return self._sketches[since]

    def _own(self, table: pa.Table) -> Mask:
        if not {"version", "degraded"} <= set(table.column_names):
            return np.ones(table.num_rows, np.bool_)
        is_degraded = np.asarray(table["degraded"].to_numpy(), np.bool_)
        return np.asarray(table["version"].to_numpy() == self._version) & ~is_degraded

    def _is_forgotten(self, since: datetime) -> bool:
        return self._closed_until is not None and since < self._closed_until - NUM_KEPT * self._span

    def close(self, at: datetime) -> list[WindowClosed]:
        """Every window that ended by `at` with rows not told yet, in time order; late rows close theirs again."""
        # Not the other way round: the end of the last window of all dates is none.
        ended = sorted(since for since in self._changed if since <= at - self._span)
        closed = [self._told(since) for since in ended]
        self._changed.difference_update(ended)
        reached = window_start(at, self._span)
        self._closed_until = reached if self._closed_until is None else max(self._closed_until, reached)
        self._counts, self._answered = self._kept(self._counts), self._kept(self._answered)
        self._expected, self._by_group = self._kept(self._expected), self._kept(self._by_group)
        return closed

    def _kept(self, by_start: Mapping[datetime, Kept]) -> dict[datetime, Kept]:
        return {since: one for since, one in by_start.items() if not self._is_forgotten(since)}

    def _told(self, since: datetime) -> WindowClosed:
        counts, answered = self._counts[since], self._answered.get(since, AnswerTally())
        expected = self._expected.get(since, ExpectedTally())
        return WindowClosed(
            since=since,
            until=since + self._span,
            version=self._version,
            num_rows=counts.num_rows,
            drift_by_column=self._profile.compare(counts),
            estimated_by_metric=estimates(answered) | expected.scores(self._task),
            num_answered=answered.num_rows + expected.num_rows,
            together=self._profile.compare_together(counts),
            within=self._profile.compare_within(counts),
        )

    def to_json(self) -> dict[str, Any]:
        """What to store between restarts; the profile is in the version's bundle."""
        by_group = {since: found for since, found in self._by_group.items() if found}
        return {
            "version": self._version,
            "counts": _stored(self._counts, Counts.to_json),
            "answered": _stored(self._answered, AnswerTally.to_json),
            **({"expected": _stored(self._expected, ExpectedTally.to_json)} if self._expected else {}),
            **({"by_group": _stored(by_group, group_estimates.to_json)} if by_group else {}),
            "sketches": _stored(self._sketches, to_json),
            "changed": sorted(since.isoformat() for since in self._changed),
            "closed_until": self._closed_until.isoformat() if self._closed_until else None,
            "num_too_late": self.num_too_late,
        }

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, Any],
        *,
        profile: Profile,
        span: timedelta,
        has_sketches: bool = False,
        task: Task = BINARY,
        grouped_by: Sequence[str] = (),
    ) -> "Windows":
        """The windows that `to_json` wrote, to be filled further."""
        windows = cls(
            profile, version=value["version"], span=span, has_sketches=has_sketches, task=task, grouped_by=grouped_by
        )
        windows._sketches = _restored(value.get("sketches", {}), _sketches_from_json)
        windows._counts = _restored(value["counts"], Counts.from_json)
        # Windows stored before there were estimates, of all rows or of groups, lack them.
        windows._answered = _restored(value.get("answered", {}), AnswerTally.from_json)
        windows._expected = _restored(value.get("expected", {}), ExpectedTally.from_json)
        windows._by_group = _restored(value.get("by_group", {}), group_estimates.from_json)
        windows._changed = {datetime.fromisoformat(at) for at in value["changed"]}
        closed_until = value["closed_until"]
        windows._closed_until = datetime.fromisoformat(closed_until) if closed_until else None
        windows.num_too_late = value["num_too_late"]
        return windows


def _stored(by_start: Mapping[datetime, Kept], to_json: Callable[[Kept], Any]) -> dict[str, Any]:
    return {since.isoformat(): to_json(one) for since, one in sorted(by_start.items())}


def _restored(value: Mapping[str, Any], from_json: Callable[[Any], Kept]) -> dict[datetime, Kept]:
    return {datetime.fromisoformat(since): from_json(one) for since, one in value.items()}


def _sketches_from_json(value: Mapping[str, Any]) -> dict[str, Sketch]:
    return {name: sketch_from_json(one) for name, one in value.items()}
