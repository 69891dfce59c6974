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
from heliostat.govern.candidates import ALL, RECENT, SINCE
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.settings import Settings
from heliostat.simulate.judged import Champion
from heliostat.simulate.policy import Policy
from heliostat.simulate.stream import stream
from heliostat.simulate.turns import Trainer
from heliostat.store.bundles import read_bundle, write_bundle
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from jobs._archive import returned
from jobs._contest import Contest, Version, chosen_and_judged
from jobs._declared_learner import DeclaredLearner
from jobs._entry import Job
from jobs._fitting import fit_candidates
from jobs._judging import best, judge
from jobs._windows import Candidate, holdout_at
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
        tables={"raw": lake.version("toy", "raw"), "predictions": None, "labels": None},
        **{"as_of": LATER, "onset_at": ONSET, "num_recent": 500, "champion": asdict(version), **given},
    )
    Attempts(tmp_path / "checkpoints", monkeypatch)
    return fit_candidates(asdict(run))


def names(fitted):
    return [each["candidate"] for each in fitted]


def test_windows_from_before_the_change_are_not_fitted_once_a_shorter_one_surely_won(
    first_run, lake, tmp_path, monkeypatch
):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch)
    assert names(fitted) == ["trees-since-2024-04-01", "trees-since-2024-04-01-refit"]


def test_without_a_known_change_all_history_is_tried_beside_recent_rows(first_run, lake, tmp_path, monkeypatch):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch, onset_at=None)
    assert names(fitted)[:2] == ["trees-all", "trees-recent-500"]
    assert len(fitted) == 3
    assert fitted[2]["lineage"]["num_rows"] > fitted[names(fitted).index(refit_of(fitted[2]))]["lineage"]["num_rows"]


def refit_of(fitted):
    return fitted["lineage"]["refit_of"]


@pytest.mark.parametrize("is_turn", [True, False])
def test_where_nobody_could_be_judged_a_turn_fits_nothing(first_run, lake, tmp_path, monkeypatch, is_turn):
    # Two days after the champion's last row there are too few rows to judge anybody on.
    as_of = datetime.fromisoformat(first_run.fitted[1]["lineage"]["last_event_at"]) + timedelta(days=2)
    given = {"as_of": as_of, "onset_at": None, "is_turn": is_turn}
    fitted = run_against(first_run, lake, tmp_path, monkeypatch, **given)
    if is_turn:
        [only] = fitted
        assert "new rows are left to judge on, Loop(min_holdout_rows=" in only["held"]
    else:
        assert names(fitted) == ["trees-all", "trees-all-refit"]


class Noting(DeclaredLearner):
    """The learner of a declared workload, which notes how many rows each candidate has."""

    def __init__(self, declared) -> None:
        super().__init__(declared)
        self.num_rows = []

    def begin(self, rows, labels):
        self.num_rows.append(len(labels))
        return super().begin(rows, labels)


def simulated(first_run, rows, *, onset_at):
    """How many rows each candidate of a simulated turn has on the rows of the live one, and the winner's name."""
    champion = first_run.fitted[1]
    last_at = datetime.fromisoformat(champion["lineage"]["last_event_at"])
    num_before = lambda at: cohorts.parted(rows, at=at)[0].num_rows  # noqa: E731
    learner, labels = Noting(workload), rows["label"].to_numpy()
    played = stream(rows.drop_columns(["label"]), workload.columns, labels, first=0.4)
    policy = replace(
        Policy.of(played),
        min_holdout_rows=workload.loop.min_holdout_rows,
        max_holdout_rows=rows.num_rows - num_before(holdout_at(workload, rows)),
        window_rows=500,
    )
    first = Champion(
        number=2,
        model=learner.loaded(read_bundle(champion["bundle_uri"], champion["bundle_hash"])),
        name=ALL,
        until_row=num_before(last_at + timedelta(microseconds=1)),
        num_rows=0,
    )
    change_row = None if onset_at is None else num_before(onset_at)
    found = Trainer(played, learner, policy).turn(played.num_steps, first, change_row=change_row)
    assert found.champion is not None
    return learner.num_rows[: found.num_fits - 1], found.champion.name


@pytest.mark.parametrize(
    ("onset_at", "live_names"),
    [(None, {"trees-all": ALL, "trees-recent-500": RECENT}), (ONSET, {"trees-since-2024-04-01": SINCE})],
)
def test_a_simulated_turn_fits_and_chooses_what_a_live_one_does(
    first_run, lake, tmp_path, monkeypatch, onset_at, live_names
):
    fitted = run_against(first_run, lake, tmp_path, monkeypatch, onset_at=onset_at)
    rows = cohorts.training_rows(lake, workload, as_of=LATER)
    num_rows, winner = simulated(first_run, rows, onset_at=onset_at)
    assert [each["candidate"] for each in fitted[:-1]] == list(live_names)
    assert [each["lineage"]["num_rows"] for each in fitted[:-1]] == pytest.approx(num_rows, rel=0.15)
    assert winner == live_names[refit_of(fitted[-1])]


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


def registered(first_run, lake, tmp_path, monkeypatch, **given):
    """A catalog with the first run and a turn's; the number of what that turn fitted again."""
    catalog = catalog_with(first_run, tmp_path)
    for each in run_against(first_run, lake, tmp_path, monkeypatch, **given):
        catalog.register("toy", run_id="turn", by="admin", at=LATER, **each)
    refit = [one.number for one in catalog.versions("toy") if one.run_id == "turn" and "refit_of" in one.lineage]
    return catalog, refit[0]


@pytest.fixture
def two_worlds(first_run, lake, tmp_path, monkeypatch):
    """The first champion, then one of the world after the change; both registered."""
    return registered(first_run, lake, tmp_path, monkeypatch)


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


def test_a_champion_of_before_that_cannot_answer_any_more_keeps_no_other_away(lake, two_worlds, tmp_path, capsys):
    catalog, later = two_worlds
    known = catalog.version("toy", later)
    gone = catalog.register(
        "toy",
        run_id="gone",
        candidate="all",
        bundle_uri=known.bundle_uri,
        bundle_hash="0" * 64,
        lineage=known.lineage,
        scores=known.scores,
        kind=known.kind,
        by="admin",
        at=LATER,
    )
    for number in (later, gone, 2):
        put_in_place(catalog, number, score=0.6)
    more = Lake(str(tmp_path / "more"))
    ingest(more, until=LATER + timedelta(days=25))
    at = LATER + timedelta(days=25)
    found = returned(job_on(more, catalog, tmp_path, as_of=at), as_of=at, onset_at=None)
    assert found is not None
    assert found.version == later
    assert f"version {gone} cannot return: " in capsys.readouterr().out


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
    is_first = np.arange(rows.num_rows) < 0.5 * rows.num_rows
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


def test_with_a_split_the_newer_rows_judge_whoever_won_a_contest(first_run, lake, tmp_path, monkeypatch):
    catalog, later = registered(first_run, lake, tmp_path, monkeypatch, onset_at=None)
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
