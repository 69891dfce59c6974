"""The candidates of one run against the champion on the hold-out, while they are fitted: what cannot win is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import cohorts
from heliostat.declared.revisions import renamed_since
from heliostat.govern.candidates import ALL, Race, num_choosing
from heliostat.learn import parallel
from heliostat.learn.bundle import ServedModel
from heliostat.learn.told_answers import told_answers
from heliostat.store.bundles import read_bundle
from heliostat.workload import Workload
from jobs._windows import Candidate

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version as a worker needs it: its bundle, the last event it learned from, whether it knows all history."""

    number: int
    bundle_uri: str
    bundle_hash: str
    last_event_at: datetime
    knows_all: bool = True


class Contest:
    """Rules of `govern.candidates` on one run; open where there is a champion and rows to judge on.

    While it is not, everybody can win.
    """

    def __init__(self, workload: Workload, rows: pa.Table, *, champion: Version | None, holdout_at: datetime) -> None:
        self.holdout_at = holdout_at
        self.rows_before, holdout = cohorts.parted(rows, at=holdout_at)
        self._workload = workload
        self._fitted: list[Candidate] = []
        self.begins_after = holdout_at if champion is None else champion.last_event_at + timedelta(microseconds=1)
        _, holdout = cohorts.parted(holdout, at=max(self.begins_after, holdout_at))
        self._holdout, _ = chosen_and_judged(workload, holdout)
        self._num_judging = holdout.num_rows
        self._race: Race | None = None
        if champion is not None and self._num_judging >= workload.loop.min_holdout_rows:
            theirs = self._losses(champion.bundle_uri, champion.bundle_hash)
            blocks = loop_windows(self._holdout, workload.loop.window)
            self._race = Race(theirs, blocks, knows_all=champion.knows_all)

    @property
    def is_open(self) -> bool:
        """Whether there is a champion, and rows to compare candidates with it."""
        return self._race is not None

    @property
    def too_few(self) -> str:
        """Why it is not open where there is a champion."""
        minimum = self._workload.loop.min_holdout_rows
        return f"{self._num_judging} new rows are left to judge on, Loop(min_holdout_rows={minimum}) asks for more"

    def can_win(self, candidate: Candidate, *, onset_at: datetime | None) -> bool:
        """Whether one more candidate is worth its fit, where the world changed at `onset_at` (None: not known to)."""
        is_older = onset_at is not None and (candidate.since is None or candidate.since < onset_at)
        return self._race is None or self._race.can_win(_raced_name(candidate), is_older=is_older)

    def add(self, candidate: Candidate, fitted: Mapping[str, Any]) -> None:
        """Judge one that was fitted without the hold-out."""
        self._fitted.append(candidate)
        if self._race is not None:
            self._race.add(_raced_name(candidate), self._losses(fitted["bundle_uri"], fitted["bundle_hash"]))

    def winner(self) -> Candidate:
        """The one that is fitted again on all rows, of an open contest: the gates come later, and look at more."""
        assert self._race is not None
        return self._fitted[self._race.winner()]

    def _losses(self, bundle_uri: str, bundle_hash: str) -> Values:
        """The first worker's, so that all fit the same candidates: another node's answers may differ in a last bit."""
        return parallel.first_gives(lambda: self._own_losses(bundle_uri, bundle_hash))

    def _own_losses(self, bundle_uri: str, bundle_hash: str) -> Values:
        model = ServedModel.load(read_bundle(bundle_uri, bundle_hash))
        answers = told_answers(model, self._holdout, renamed=renamed_since(self._workload.earlier))
        return self._workload.task.losses(self._holdout["label"].to_numpy(), answers)


def chosen_and_judged(workload: Workload, holdout: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of a hold-out, in order of time, that choose among candidates, and those that judge the winner."""
    loop = workload.loop
    num_rows = num_choosing(holdout.num_rows, split=loop.holdout_split, at_least=loop.min_holdout_rows)
    return cohorts.parted(holdout, at=holdout["event_at"][num_rows].as_py()) if num_rows else (holdout, holdout)


def _raced_name(candidate: Candidate) -> str:
    """All history is one window, whatever kind of model learns from it."""
    return ALL if candidate.since is None else candidate.name


def loop_windows(rows: pa.Table, span: timedelta) -> NDArray[np.int64]:
    """Which of the loop's windows each row's event lies in: rows of one are alike, so one says little more than one."""
    instants = rows["event_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(instants // (span // timedelta(microseconds=1)), np.int64)
