"""One run of fits on the toy's first two months, made once for every test that needs bundles."""

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pytest

from heliostat.store.lake import Lake
from jobs._fitting import FitRun, fit_candidates
from tests.ray_train import Attempts
from tests.toy_lake import ingest

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """The run, the lake that it read, and what it returned."""

    run: FitRun
    lake: Lake
    fitted: list

    def register(self, catalog) -> list[int]:
        """The versions of this run in a catalog, as jobs.train registers them."""
        return [catalog.register("toy", run_id=self.run.run_id, by="admin", at=AS_OF, **each) for each in self.fitted]


@pytest.fixture(autouse=True)
def stays_as_urgent(monkeypatch):
    """Batch work that runs in this process leaves its priority alone: there would be no way back for later tests."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    home = tmp_path_factory.mktemp("first-run")
    lake = Lake(str(home / "lake"))
    ingest(lake, until=AS_OF)
    run = FitRun(
        run_id="toy-first",
        module="tests.toy_quick",
        lake_uri=lake.uri,
        bundles_uri=str(home / "bundles"),
        as_of=AS_OF,
        onset_at=None,
        code_revision="abc",
        tables={"raw": lake.version("toy", "raw"), "predictions": None, "labels": None},
    )
    with pytest.MonkeyPatch.context() as patch:
        Attempts(home / "checkpoints", patch)
        return FirstRun(run=run, lake=lake, fitted=fit_candidates(asdict(run)))
