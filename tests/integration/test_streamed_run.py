"""A run of fits whose rows are streamed, in this process: the same candidates, and where it goes on."""

import json
from dataclasses import asdict, replace
from datetime import timedelta, timezone

import pyarrow.compute as pc
import pytest

from heliostat import Training, Trees, Workload
from heliostat.errors import WorkloadError
from heliostat.store.bundles import read_bundle
from heliostat.store.lake import Lake
from jobs import _staging
from jobs._fit_run import known_rows
from jobs._fitting import fit_candidates
from tests import toy, toy_quick, toy_stream
from tests.integration.conftest import AS_OF
from tests.ray_train import Attempts, Killed
from tests.toy_lake import answer, ingest, rows_of, tell

NOT_SNAPSHOT = {"history", "best_epoch", "run", "source_digest"}


@pytest.fixture(scope="module")
def run(first_run, tmp_path_factory):
    rows_dir = str(tmp_path_factory.mktemp("staged") / "rows")
    made = replace(first_run.run, run_id="toy-stream", module="tests.toy_stream", rows_dir=rows_dir)
    _staging.stage(made, toy_stream.workload, spread=_staging.here)
    return made


@pytest.mark.parametrize("offset_hours", [0, 2, -5])
def test_the_rows_of_days_put_together_are_all_rows(run, tmp_path, monkeypatch, offset_hours):
    lake = Lake(str(tmp_path / "lake"))
    middle = rows_of(since=None, until=AS_OF)["event_at"][500].as_py()
    ingest(lake, until=middle)
    answered = rows_of(since=middle, until=AS_OF)
    answer(lake, answered)
    tell(lake, answered)
    tables = {name: lake.version("toy", name) for name in ("raw", "predictions", "labels")}
    as_of = AS_OF.astimezone(timezone(timedelta(hours=offset_hours)))
    own = replace(run, lake_uri=lake.uri, tables=tables, as_of=as_of, rows_dir=str(tmp_path / "rows"))
    monkeypatch.setattr(_staging, "MOST_ROWS", 100)
    staged = _staging.stage(own, toy_stream.workload, spread=_staging.here)
    assert len(staged.files) > 5
    whole = known_rows(own, toy_quick.workload)
    assert pc.max(whole["event_at"]).as_py() > middle
    assert staged.rows(0, staged.num_rows).equals(whole)


def test_rows_that_are_staged_are_not_staged_again(run):
    def never(spans, run):
        raise AssertionError

    assert _staging.stage(run, toy_stream.workload, spread=never).num_rows > 0


def test_a_streamed_run_fits_the_candidates_that_one_in_memory_fits(first_run, run, tmp_path, monkeypatch):
    Attempts(tmp_path, monkeypatch)
    fitted = fit_candidates(asdict(run))
    assert [each["candidate"] for each in fitted] == [each["candidate"] for each in first_run.fitted]
    for own, other in zip(fitted, first_run.fitted, strict=True):
        assert {name: own["lineage"][name] for name in own["lineage"] if name not in NOT_SNAPSHOT} == {
            name: value for name, value in other["lineage"].items() if name not in NOT_SNAPSHOT
        } | ({"refit_of": own["lineage"]["refit_of"]} if "refit_of" in own["lineage"] else {})
        assert own["scores"]["validation_log_loss"] == pytest.approx(other["scores"]["validation_log_loss"], abs=0.05)
        files, others = (read_bundle(each["bundle_uri"], each["bundle_hash"]) for each in (own, other))
        assert files["preparation.json"] == others["preparation.json"]
        profile, usual = (json.loads(each["profile.json"]) for each in (files, others))
        assert profile["reference"]["num_rows"] == usual["reference"]["num_rows"]


def test_a_streamed_worker_killed_after_every_report_ends_with_the_same_bundles(run, tmp_path, monkeypatch):
    Attempts(tmp_path / "whole", monkeypatch)
    whole = fit_candidates(asdict(run))
    attempts = Attempts(tmp_path / "killed", monkeypatch)
    num_killed, fitted = 0, None
    while fitted is None:
        attempts.die_after = 1
        try:
            fitted = fit_candidates(asdict(run))
        except Killed:
            num_killed += 1
    assert fitted == whole
    assert sum("num_steps" in values and values["num_steps"] > 0 for values in attempts.values) > 5


def test_what_cannot_be_streamed_is_refused_in_one_sentence():
    stream = Training(stream=True)
    with pytest.raises(WorkloadError, match="has no due_time: only networks are streamed"):
        replace(toy.workload, training=stream, due_time=None)

    with pytest.raises(WorkloadError, match="trees need all rows at once: only networks are streamed"):
        replace(toy.workload, training=stream, trees=Trees())
    assert isinstance(replace(toy.workload, training=stream), Workload)
