"""One run of fits as its workers get it, and the rows that it may learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from heliostat import cohorts
from heliostat.declared.tuning import Configuration
from heliostat.store.lake import Lake
from heliostat.workload import Workload
from jobs._inputs import Pinned, with_inputs


@dataclass(frozen=True, kw_only=True)
class FitRun:
    """One run, as every worker gets it."""

    run_id: str
    module: str
    lake_uri: str
    bundles_uri: str
    as_of: datetime
    onset_at: datetime | None
    code_revision: str
    tables: Mapping[str, int | None]
    inputs: Pinned = field(default_factory=dict)  # the versions of other workloads that old rows are put to
    shut_out: Sequence[Mapping[str, str]] = ()  # labels that are not learned from: source, since, until
    is_turn: bool = False  # of the loop: nothing is fitted for it that nobody could judge
    num_recent: int | None = None  # rows of the recent window; None: no such candidate
    champion: Mapping[str, Any] | None = None  # the fields of a `Version`: what candidates have to beat, if any
    configuration: Configuration = field(default_factory=dict)  # tuned settings, in place of the declared ones
    tuned_by: Mapping[str, str] = field(default_factory=dict)  # the run and trial that found them; empty: the champion
    only: str | None = None  # the one candidate to fit
    events_dir: str | None = None  # where TensorBoard finds the steps of a fit; None: nobody watches
    attempts_dir: str | None = None  # where each attempt leaves how long it took and where it is; None: nowhere
    rows_dir: str | None = None  # where rows lie that are streamed; None: each worker reads all into memory


def known_rows(run: FitRun, workload: Workload, *, days: tuple[date, date] | None = None) -> pa.Table:
    """The rows that a run may learn from and judge by, in the tables that it was started with; with `days` of those."""
    known = cohorts.training_rows(
        Lake(run.lake_uri),
        workload,
        as_of=run.as_of,
        versions=pinned(run),
        shut_out=run.shut_out,
        days=days,
    )
    return with_inputs(known, workload, run.inputs)


def pinned(run: FitRun) -> dict[str, int]:
    """The versions of the tables that a run was started with."""
    return {name: version for name, version in run.tables.items() if version is not None}
