"""Which rows the candidates of one run learn from, and which rows judge them."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.govern.candidates import RECENT, SINCE, num_judging, windows
from heliostat.learn.start import Start
from heliostat.learn.streamed import Streamed, drawn
from heliostat.learn.summary import MOST_DRAWN
from heliostat.learn.window_portions import Deliver
from heliostat.store.staged import Staged, read_pieces
from heliostat.workload import Workload
from jobs._timeline import Rows, Timeline, split_row, timeline

WARM = "warm"  # the candidate that goes on from the champion
ALL, REFIT = "all", "-refit"  # the name of all history, and what is added where a candidate is fitted again
MIN_ROWS = 100  # before the hold-out; fewer fit nothing


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
    """The rows of one candidate: fitted on `train`, chosen and calibrated on `validation`; `all`: the hold-out too.

    What comes `before` the hold-out is both.
    """

    train: pa.Table | Streamed
    validation: pa.Table
    before: pa.Table | Streamed
    all: pa.Table | Streamed
    holdout_since: datetime


def holdout_at(workload: Workload, rows: Rows, onset_at: datetime | None = None) -> datetime:
    """Where the hold-out begins: the newest declared span, shorter after a change, so that there is something to learn.

    Then it is a third of the rows since, but not fewer than `Loop(min_holdout_rows)`.
    """
    known = timeline(rows)
    newest = known.at(known.num_rows - 1) if known.num_rows else None
    usual = cohorts.holdout_since(newest, workload.loop.holdout_span)
    if onset_at is None:
        return usual
    num_usual, num_since = (known.num_rows - known.before(at) for at in (usual, onset_at))
    size = num_judging(num_usual, num_since=num_since, at_least=workload.loop.min_holdout_rows)
    return usual if size == num_usual else known.at(known.num_rows - size)


def candidates(
    workload: Workload,
    rows: pa.Table | Timeline,
    *,
    as_of: datetime,
    onset_at: datetime | None,
    num_recent: int | None = None,
    is_contest: bool = False,
    warm: Candidate | None = None,
) -> list[Candidate]:
    """The fits of one run, for each kind of model.

    `rows` are those before the hold-out. The declared windows are always tried; in a contest also what `windows` adds
    to them, in its order, and a `warm` one before, where its rows are enough.
    """
    known = timeline(rows)
    found = [_window(span, as_of) for span in workload.training.windows]
    if is_contest:
        found = _beside(workload, known, found, onset_at=onset_at, num_recent=num_recent)
    quickest = [] if warm is None or not _can_learn(workload, known, _num_rows(known, warm)) else [warm]
    return quickest + [_of_kind(candidate, kind) for kind in workload.kinds for candidate in found]


def _beside(
    workload: Workload,
    known: Timeline,
    declared: list[Candidate],
    *,
    onset_at: datetime | None,
    num_recent: int | None,
) -> list[Candidate]:
    """The declared windows with the rows since a change, or the recent ones, where those are other rows."""
    by_name = {one.name: one for one in declared}
    if onset_at is not None:
        by_name[SINCE] = Candidate(name=f"since-{onset_at:%Y-%m-%d}", since=onset_at)
    if num_recent is not None and num_recent < known.num_rows:
        since = known.at(known.num_rows - num_recent)
        by_name[RECENT] = Candidate(name=f"recent-{num_recent}", since=since)
    sizes = {name: _num_rows(known, one) for name, one in by_name.items()}
    planned = windows(
        {one.name: sizes[one.name] for one in declared},
        num_since=sizes.get(SINCE),
        num_recent=sizes.get(RECENT),
        can_learn=lambda size: _can_learn(workload, known, size),
    )
    # One that is declared is tried even where it is like another, or tells in a sentence why it cannot be.
    kept = {one.name for one in declared} | {window.name for window in planned}
    return sorted(
        (by_name[name] for name in by_name if name in kept),
        key=lambda one: _num_rows(known, one),
        reverse=onset_at is None,
    )


def warm_candidate(start: Start, *, since: datetime) -> Candidate:
    """The one that goes on from a champion, on what came after the last row that it learned from."""
    return _of_kind(Candidate(name=WARM, since=since, start=start), start.kind)


def parts(workload: Workload, rows: pa.Table, candidate: Candidate, *, holdout_at: datetime) -> Parts:
    """The candidate's span, parted by time: training, the newest share as validation, then the hold-out."""
    first, later, holdout = _bounds(workload, timeline(rows), candidate, holdout_at=holdout_at)
    return Parts(
        train=rows.slice(first, later - first),
        validation=rows.slice(later, holdout - later),
        before=rows.slice(first, holdout - first),
        all=rows.slice(first),
        holdout_since=holdout_at,
    )


def streamed_parts(
    workload: Workload, rows: Staged, candidate: Candidate, *, holdout_at: datetime, deliver: Deliver
) -> Parts:
    """The same parts of rows that are too many for memory; of the validation rows at most MOST_DRAWN, evenly drawn."""
    first, later, holdout = _bounds(workload, rows, candidate, holdout_at=holdout_at)

    def span(start: int, end: int) -> Streamed:
        read = partial(read_pieces, folder=rows.folder)
        return Streamed(pieces=rows.pieces(start, end), read=read, digest=rows.digest(start, end), deliver=deliver)

    return Parts(
        train=span(first, later),
        validation=span(later, holdout).drawn(MOST_DRAWN),
        before=span(first, holdout),
        all=span(first, rows.num_rows),
        holdout_since=holdout_at,
    )


def shown(rows: pa.Table | Streamed) -> pa.Table:
    """At most MOST_DRAWN of the rows at even distances: those whose answers a profile is made of."""
    if isinstance(rows, Streamed):
        return rows.drawn(MOST_DRAWN)
    return rows if rows.num_rows <= MOST_DRAWN else drawn(iter([rows]), stride=-(-rows.num_rows // MOST_DRAWN))


def _bounds(workload: Workload, rows: Timeline, candidate: Candidate, *, holdout_at: datetime) -> tuple[int, int, int]:
    """The rows of a candidate: its first, the first to validate with, and the first of the hold-out."""
    first = 0 if candidate.since is None else rows.before(candidate.since)
    holdout = rows.before(holdout_at)
    if holdout - first < MIN_ROWS:
        raise TrainingError(
            f"Candidate {candidate.name!r} has {max(0, holdout - first)} labelled rows before the hold-out that starts "
            f"at {holdout_at:%Y-%m-%d}; at least {MIN_ROWS} are needed. Ingest more, or train at a later instant."
        )
    return first, split_row(rows, first, holdout, share=workload.training.validation_share), holdout


def is_all_history(name: str) -> bool:
    """Whether the candidate of that name, or its refit, learned from all history."""
    return name.removesuffix(REFIT).rpartition("-")[2] == ALL


def _num_rows(rows: Timeline, candidate: Candidate) -> int:
    return rows.num_rows if candidate.since is None else rows.num_rows - rows.before(candidate.since)


def _can_learn(workload: Workload, rows: Timeline, size: int) -> bool:
    """Whether the newest rows are enough, and their labels differ in what is trained on."""
    if size < MIN_ROWS:
        return False
    first = rows.num_rows - size
    later = split_row(rows, first, rows.num_rows, share=workload.training.validation_share)
    return rows.labels_differ(first, later)


def _of_kind(candidate: Candidate, kind: str) -> Candidate:
    return candidate if kind == "network" else replace(candidate, name=f"{kind}-{candidate.name}", kind=kind)


def _window(span: timedelta | None, as_of: datetime) -> Candidate:
    if span is None:
        return Candidate(name=ALL, since=None)
    hours = span / timedelta(hours=1)
    # The name tells candidates of one run apart, so a span that is not whole days must not lose its hours.
    return Candidate(name=f"last-{hours / 24:g}d" if hours % 24 == 0 else f"last-{hours:g}h", since=as_of - span)
