"""Which rows the candidates of one run learn from, and which rows judge them."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.govern.candidates import windows
from heliostat.learn.rows import split_by_time
from heliostat.learn.start import Start
from heliostat.workload import Workload

WARM = "warm"  # the candidate that goes on from the champion
ALL, REFIT = "all", "-refit"  # the name of all history, and what is added where a candidate is fitted again
MIN_ROWS = 100  # before the hold-out; fewer fit nothing
HOLDOUT_PART = 3  # of the rows since a change at most a third judges, the rest teaches


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One fit of a run: its name, the start of its training rows (None: all history), and what is fitted.

    With `start` it goes on from the champion instead of from nothing.
    """

    name: str
    since: datetime | None
    kind: str = "network"
    start: Start | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The rows of one candidate: fitted on `train`, chosen and calibrated on `validation`; `all`: the hold-out too."""

    train: pa.Table
    validation: pa.Table
    all: pa.Table
    holdout_since: datetime


def holdout_at(workload: Workload, rows: pa.Table, onset_at: datetime | None = None) -> datetime:
    """Where the hold-out begins: the newest declared span, shorter after a change, so that there is something to learn.

    Then it is a third of the rows since, but not fewer than `Loop(min_holdout_rows)`.
    """
    usual = cohorts.holdout_since(rows, workload.loop.holdout_span)
    if onset_at is None:
        return usual
    _, since = cohorts.parted(rows, at=onset_at)
    size = max(workload.loop.min_holdout_rows, since.num_rows // HOLDOUT_PART)
    if size >= rows.num_rows:
        return usual
    later: datetime = rows["event_at"][rows.num_rows - size].as_py()
    return max(usual, later)


def candidates(
    workload: Workload,
    rows: pa.Table,
    *,
    as_of: datetime,
    onset_at: datetime | None,
    num_recent: int | None = None,
    is_contest: bool = False,
    warm: Candidate | None = None,
) -> list[Candidate]:
    """The fits of one run, for each kind of model; in a contest the shortest window comes first.

    `rows` are those before the hold-out.

    The declared windows are always tried; the rows since a change and the recent ones where they are other rows; a
    `warm` one first, where its rows are enough.
    """
    declared = [_window(span, as_of) for span in workload.training.windows]
    extra = [] if onset_at is None else [Candidate(name=f"since-{onset_at:%Y-%m-%d}", since=onset_at)]
    if num_recent is not None and num_recent < rows.num_rows:
        since = rows["event_at"][rows.num_rows - num_recent].as_py()
        extra.append(Candidate(name=f"recent-{num_recent}", since=since))
    sizes = {one.name: _num_rows(rows, one) for one in [*declared, *extra]}
    kept = [name for name, _ in windows(sizes, can_learn=lambda size: _can_learn(workload, rows, size))]
    found = [*declared, *(one for one in extra if one.name in kept)]
    if is_contest:
        found.sort(key=lambda one: sizes[one.name])
    quickest = [] if warm is None or not _can_learn(workload, rows, _num_rows(rows, warm)) else [warm]
    return quickest + [_of_kind(candidate, kind) for kind in workload.kinds for candidate in found]


def warm_candidate(start: Start, *, since: datetime) -> Candidate:
    """The one that goes on from a champion, on what came after the last row that it learned from."""
    return _of_kind(Candidate(name=WARM, since=since, start=start), start.kind)


def parts(workload: Workload, rows: pa.Table, candidate: Candidate, *, holdout_at: datetime) -> Parts:
    """The candidate's span, parted by time: training, the newest share as validation, then the hold-out."""
    if candidate.since is not None:
        _, rows = cohorts.parted(rows, at=candidate.since)
    usable, _ = cohorts.parted(rows, at=holdout_at)
    if usable.num_rows < MIN_ROWS:
        raise TrainingError(
            f"Candidate {candidate.name!r} has {usable.num_rows} labelled rows before the hold-out that starts at "
            f"{holdout_at:%Y-%m-%d}; at least {MIN_ROWS} are needed. Ingest more, or train at a later instant."
        )
    train, validation = split_by_time(usable, share=workload.training.validation_share)
    return Parts(train=train, validation=validation, all=rows, holdout_since=holdout_at)


def is_all_history(name: str) -> bool:
    """Whether the candidate of that name, or its refit, learned from all history."""
    return name.removesuffix(REFIT).rpartition("-")[2] == ALL


def _num_rows(rows: pa.Table, candidate: Candidate) -> int:
    if candidate.since is not None:
        _, rows = cohorts.parted(rows, at=candidate.since)
    return int(rows.num_rows)


def _can_learn(workload: Workload, rows: pa.Table, size: int) -> bool:
    """Whether the newest rows are enough, and their labels differ in what is trained on."""
    if size < MIN_ROWS:
        return False
    train, _ = split_by_time(rows.slice(rows.num_rows - size), share=workload.training.validation_share)
    labels: NDArray[np.float64] = train["label"].to_numpy()
    return len(np.unique(labels)) > 1


def _of_kind(candidate: Candidate, kind: str) -> Candidate:
    return candidate if kind == "network" else replace(candidate, name=f"{kind}-{candidate.name}", kind=kind)


def _window(span: timedelta | None, as_of: datetime) -> Candidate:
    if span is None:
        return Candidate(name=ALL, since=None)
    hours = span / timedelta(hours=1)
    # The name tells candidates of one run apart, so a span that is not whole days must not lose its hours.
    return Candidate(name=f"last-{hours / 24:g}d" if hours % 24 == 0 else f"last-{hours:g}h", since=as_of - span)
