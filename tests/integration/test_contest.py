"""A turn's run against a champion: which candidates are fitted, which of them again, and who comes back."""

from argparse import Namespace
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.settings import Settings
from heliostat.store.bundles import read_bundle, write_bundle
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from jobs._archive import returned
from jobs._contest import Contest, Version, chosen_and_judged
from jobs._entry import Job
from jobs._fitting import fit_candidates
from jobs._judging import best, judge
from jobs._windows import Candidate
from tests import toy_late, toy_quick
from tests.ray_train import Attempts
from tests.toy_lake import ingest
from tests.toy_turns import workload

FIRST, LATER = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
ONSET = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(str(tmp_path_factory.mktemp("contest") / "lake"))
    ingest(made, until=LATER)
    return made


def run_against(first_run, lake, tmp_path, monkeypatch, **given):
    """What a turn at LATER fits against the first run's champion."""
    champion = first_run.fitted[1]
    version = Version(
        number=2,
        bundle_uri=champion["bundle_uri"],
        bundle_hash=champion["bundle_hash"],
        last_event_at=datetime.fromisoformat(champion["lineage"]["last_event_at"]),
    )
    run = replace(
        first_run.run,
        run_id="turn",
        module="tests.toy_turns",
        lake_uri=lake.uri,
        bundles_uri=str(tmp_path / "bundles"),
        as_of=LATER,
        tables={"raw": lake.version("toy", "raw"), "predictions": None, "labels": None},
        **{"onset_at": ONSET, "is_in_doubt": True, "num_recent": 500, "champion": asdict(version), **given},
    )
    Attempts(tmp_path / "checkpoints", monkeypatch)
    return fit_candidates(asdict(run))


def names(fitted):
    return [each["candidate"] for each in fitted]


def test_windows_from_before_the_change_are_not_fitted_once_a_shorter_one_surely_won(
    first_run, lake, tmp_path, monkeypatch
):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch)
    assert names(fitted)[0] == "trees-recent-500"
    assert "trees-all" not in names(fitted)
    assert sum(name.endswith("-refit") for name in names(fitted)) == 1


def test_without_a_known_change_a_short_window_that_wins_makes_all_history_needless(
    first_run, lake, tmp_path, monkeypatch
):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch, onset_at=None)
    assert names(fitted) == ["trees-recent-500", "trees-recent-500-refit"]


def test_growth_alone_tries_the_declared_windows_and_no_other(first_run, lake, tmp_path, monkeypatch):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch, onset_at=None, is_in_doubt=False)
    assert names(fitted) == ["trees-all", "trees-all-refit"]


def catalog_with(first_run, tmp_path):
    catalog = Catalog(Settings(home=tmp_path).catalog_url)
    catalog.create()
    first_run.register(catalog)
    return catalog


def job_on(lake, catalog, tmp_path, *, as_of):
    options = Namespace(by="admin", as_of=as_of, version=None)
    settings = Settings(home=tmp_path)
    return Job(
        settings=settings, module="tests.toy_turns", workload=workload, lake=lake, catalog=catalog, options=options
    )


def put_in_place(catalog, version, *, score):
    inputs = {"inputs": {"log_loss": [score, 200, 0.01]}}
    catalog.promote("toy", version, reasons=(), inputs=inputs, by="admin", at=FIRST)


@pytest.fixture
def two_worlds(first_run, lake, tmp_path, monkeypatch):
    """The first champion, then one of the world after the change; both registered."""
    catalog = catalog_with(first_run, tmp_path)
    for each in run_against(first_run, lake, tmp_path, monkeypatch):
        catalog.register("toy", run_id="turn", by="admin", at=LATER, **each)
    refit = [one.number for one in catalog.versions("toy") if one.run_id == "turn" and "refit_of" in one.lineage]
    return catalog, refit[0]


def test_a_champion_of_before_returns_when_its_world_is_back(first_run, lake, two_worlds, tmp_path, monkeypatch):
    catalog, later = two_worlds
    put_in_place(catalog, later, score=0.6)
    put_in_place(catalog, 2, score=0.6)  # the wrong one for the rows after the change
    found = returned(job_on(lake, catalog, tmp_path, as_of=LATER + timedelta(days=0)), as_of=LATER, onset_at=None)
    assert found is None  # the later one was fitted to all of these rows, so nobody can say

    more = Lake(str(tmp_path / "more"))
    ingest(more, until=LATER + timedelta(days=25))
    job = job_on(more, catalog, tmp_path, as_of=LATER + timedelta(days=25))
    found = returned(job, as_of=LATER + timedelta(days=25), onset_at=None)
    assert found is not None
    assert (found.version, found.is_promote) == (later, True)
    assert found.sure_gain > 0


def test_a_champion_of_before_stays_away_when_it_does_worse_than_in_its_time(lake, two_worlds, tmp_path):
    catalog, later = two_worlds
    put_in_place(catalog, later, score=0.1)
    put_in_place(catalog, 2, score=0.6)
    more = Lake(str(tmp_path / "more"))
    ingest(more, until=LATER + timedelta(days=25))
    job = job_on(more, catalog, tmp_path, as_of=LATER + timedelta(days=25))
    assert returned(job, as_of=LATER + timedelta(days=25), onset_at=None) is None


def test_what_was_fitted_again_goes_before_what_only_scored_lower(first_run, lake, two_worlds, tmp_path):
    catalog, later = two_worlds
    put_in_place(catalog, 2, score=0.6)
    numbers = [one.number for one in catalog.versions("toy") if one.run_id == "turn"]
    judgements = judge(job_on(lake, catalog, tmp_path, as_of=LATER), numbers, as_of=LATER)
    assert best(judgements).version == later


def split_workload(declared):
    return replace(declared, loop=replace(declared.loop, holdout_split=0.5))


def rows_that_turn(first_run, lake):
    """Rows of which the recent candidate is the better one at first, and the one of all history later."""
    rows = cohorts.training_rows(lake, toy_quick.workload, as_of=LATER)
    _, rows = cohorts.parted(rows, at=FIRST)
    own, other = (
        ServedModel.load(read_bundle(first_run.fitted[place]["bundle_uri"], first_run.fitted[place]["bundle_hash"]))
        for place in (2, 0)
    )
    is_first = np.arange(rows.num_rows) < 0.4 * rows.num_rows
    labels = ((own.answers(rows) > other.answers(rows)) == is_first).astype(float)
    return rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))


@pytest.mark.parametrize(
    ("declared", "winner"), [(toy_quick.workload, "all"), (split_workload(toy_quick.workload), "recent")]
)
def test_with_a_split_the_older_rows_of_the_hold_out_choose(first_run, lake, declared, winner):
    champion = first_run.fitted[1]
    version = Version(
        number=2,
        bundle_uri=champion["bundle_uri"],
        bundle_hash=champion["bundle_hash"],
        last_event_at=datetime.fromisoformat(champion["lineage"]["last_event_at"]),
    )
    contest = Contest(declared, rows_that_turn(first_run, lake), champion=version, holdout_at=FIRST)
    contest.add(Candidate(name="recent", since=FIRST), first_run.fitted[2])
    contest.add(Candidate(name="all", since=None), first_run.fitted[0])
    assert contest.winner().name == winner


def test_with_a_split_the_newer_rows_judge_whoever_won_a_contest(lake, two_worlds, tmp_path):
    catalog, later = two_worlds
    put_in_place(catalog, 2, score=0.6)
    numbers = [one.number for one in catalog.versions("toy") if one.run_id == "turn"]
    job = job_on(lake, catalog, tmp_path, as_of=LATER)
    whole = best(judge(job, numbers, as_of=LATER))
    half = best(judge(replace(job, workload=split_workload(workload)), numbers, as_of=LATER))
    assert half.version == whole.version == later
    rows = cohorts.training_rows(lake, workload, as_of=LATER)
    _, holdout = cohorts.parted(rows, at=datetime.fromisoformat(whole.inputs["window"][0]))
    choosing, judging = chosen_and_judged(split_workload(workload), holdout)
    assert choosing.num_rows + judging.num_rows == holdout.num_rows == whole.evidence.num_rows
    assert half.evidence.num_rows == judging.num_rows == pytest.approx(holdout.num_rows / 2, abs=2)
    assert half.inputs["window"][0] == judging["event_at"][0].as_py().isoformat()


def test_a_row_of_the_hold_out_that_encode_refuses_is_named_with_its_line(lake, tmp_path):
    rows = cohorts.training_rows(lake, toy_late.workload, as_of=LATER)
    refused = rows.filter(pc.equal(rows["load_percent"], toy_late.REFUSED)).to_pylist()[0]
    at = refused["event_at"] - timedelta(days=7)
    before, _ = cohorts.parted(rows, at=at)
    fitted = fit(toy_late.workload, *split_by_time(before, share=0.1), seed=1)
    ref = write_bundle(str(tmp_path / "bundles"), to_files("tests.toy_late", fitted, profile={}, lineage={}))
    version = Version(number=1, bundle_uri=ref.uri, bundle_hash=ref.hash, last_event_at=fitted.validated_until)
    named = rf"no such load on the row with key '{refused['key']}' at \S+ \(tests/toy_late.py, line 14\)"
    with pytest.raises(TrainingError, match=named):
        Contest(toy_late.workload, rows, champion=version, holdout_at=at)
