"""Candidate against champion on rows that neither was fitted to, from a real lake, catalog and bundles."""

from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from heliostat import KeepsGolden, KeepsOlder, NoSliceWorse, QuickEnough, cohorts, gates
from heliostat.errors import NotFoundError, TrainingError, WorkloadError
from heliostat.gates import AtMost, Evidence, Hold, Promote
from heliostat.metrics import log_loss
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from jobs import _guarding, _judging
from jobs._entry import Job
from jobs._judging import Judgement, best, judge, judged_twin
from jobs.evaluate import evaluate
from tests.toy_quick import workload

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
ALL, ALL_REFIT, RECENT, RECENT_REFIT = 1, 2, 3, 4


@pytest.fixture
def job(first_run, tmp_path):
    settings = Settings(home=tmp_path)
    catalog = Catalog(settings.catalog_url)
    catalog.create()
    assert first_run.register(catalog) == [ALL, ALL_REFIT, RECENT, RECENT_REFIT]
    return Job(
        settings=settings,
        module="tests.toy_quick",
        workload=workload,
        lake=first_run.lake,
        catalog=catalog,
        options=Namespace(by="admin", as_of=AS_OF, version=None),
    )


def promote(job, number):
    job.catalog.promote("toy", number, reasons=(), inputs={}, by="admin", at=AS_OF)


def asking(job, *asked):
    return replace(job, workload=replace(workload, gates=asked))


def with_minimum(job, num_rows):
    return replace(job, workload=replace(workload, loop=replace(workload.loop, min_holdout_rows=num_rows)))


def holdout_rows(job, number):
    since = datetime.fromisoformat(job.catalog.version("toy", number).lineage["holdout_since"])
    _, holdout = cohorts.parted(cohorts.training_rows(job.lake, workload, as_of=AS_OF), at=since)
    return holdout.num_rows


def test_what_takes_traffic_is_the_refit_and_what_is_judged_is_its_twin(job):
    found = judge(job, [ALL, ALL_REFIT, RECENT, RECENT_REFIT], as_of=AS_OF)
    assert [(one.version, one.judged_version) for one in found] == [(ALL_REFIT, ALL), (RECENT_REFIT, RECENT)]


def test_a_version_without_a_refit_is_judged_and_takes_traffic_itself(job):
    only = job.catalog.version("toy", ALL)
    number = job.catalog.register(
        "toy",
        run_id="by-hand",
        candidate="all",
        kind="network",
        bundle_uri=only.bundle_uri,
        bundle_hash=only.bundle_hash,
        lineage=only.lineage,
        scores={},
        by="admin",
        at=AS_OF,
    )
    [found] = judge(job, [number], as_of=AS_OF)
    assert (found.version, found.judged_version) == (number, number)
    assert judged_twin(job, number) == number


def test_the_twin_of_a_refit_is_of_the_same_run_and_candidate(job):
    assert [judged_twin(job, number) for number in (ALL, ALL_REFIT, RECENT, RECENT_REFIT)] == [ALL, ALL, RECENT, RECENT]
    with pytest.raises(NotFoundError, match="no version 9"):
        judged_twin(job, 9)


def test_before_the_first_champion_only_the_constant_is_to_be_beaten(job):
    [found] = judge(job, [ALL], as_of=AS_OF)
    assert found.evidence.paired is None
    assert found.evidence.num_rows == holdout_rows(job, ALL) > 0
    assert found.is_promote == (found.evidence.candidate["log_loss"] < found.evidence.constant["log_loss"])
    assert any("no champion" in reason for reason in found.verdict.reasons) or not found.is_promote


def test_a_champion_answers_the_same_rows(job):
    promote(job, RECENT)
    [found] = judge(job, [ALL], as_of=AS_OF)
    assert found.evidence.paired.champion == RECENT
    assert found.evidence.paired.num_rows == found.evidence.num_rows
    assert found.evidence.paired.score_by_metric["log_loss"] != found.evidence.candidate["log_loss"]


def test_a_champion_is_not_compared_with_its_own_twin(job):
    promote(job, ALL_REFIT)
    [found] = judge(job, [ALL], as_of=AS_OF)
    assert found.evidence.paired is None


def test_rows_that_the_champion_was_fitted_to_are_left_out(job):
    champion = job.catalog.version("toy", RECENT)  # fitted without the hold-out
    last = datetime.fromisoformat(champion.lineage["last_event_at"])
    early = {**job.catalog.version("toy", ALL).lineage, "holdout_since": (last - timedelta(days=3)).isoformat()}
    version = replace(job.catalog.version("toy", ALL), lineage=early)
    rows = cohorts.training_rows(job.lake, workload, as_of=AS_OF)
    alone = _judging._holdout(rows, version, champion=None)
    beside = _judging._holdout(rows, version, champion=champion)
    assert min(alone["event_at"].to_pylist()) <= last < min(beside["event_at"].to_pylist())
    assert 0 < beside.num_rows < alone.num_rows


def test_a_champion_that_has_seen_every_row_leaves_none_to_judge_on(job):
    promote(job, RECENT_REFIT)
    with pytest.raises(TrainingError, match="cannot be judged"):
        judge(job, [ALL], as_of=AS_OF)


def test_on_too_few_rows_nobody_is_promoted(job):
    demanding = replace(job, workload=replace(workload, loop=replace(workload.loop, min_holdout_rows=1000)))
    [found] = judge(demanding, [ALL], as_of=AS_OF)
    assert isinstance(found.verdict, Hold)
    assert "1000" in found.verdict.reasons[0]


def test_a_version_judged_before_its_hold_out_was_known_is_refused(job):
    with pytest.raises(TrainingError, match="Judge at the instant of its training, or later"):
        judge(job, [ALL], as_of=AS_OF - timedelta(days=20))


def test_a_gate_that_fails_holds_with_its_reason(job):
    [found] = judge(asking(job, AtMost(log_loss, 0.01)), [ALL], as_of=AS_OF)
    assert isinstance(found.verdict, Hold)
    assert found.as_dict()["verdict"] == "hold"
    assert "at most 0.01" in found.as_dict()["reasons"][0]


def judgement(loss, verdict, *, version=1):
    scored = Evidence(num_rows=100, candidate={"log_loss": loss}, constant={"log_loss": 0.7})
    return Judgement(version=version, judged_version=1, evidence=scored, verdict=verdict(("because",)), inputs={})


def test_the_best_passed_and_then_has_the_lowest_loss():
    lowest, passed, worse = judgement(0.1, Hold), judgement(0.5, Promote), judgement(0.6, Promote)
    assert best([lowest, worse, passed]) is passed
    assert best([judgement(0.9, Hold), lowest]) is lowest


def test_who_lost_the_contest_of_its_run_takes_no_traffic_where_its_winner_is_held():
    won, lost = judgement(0.5, Hold, version=2), judgement(0.4, Promote)
    assert best([lost, won]) is won


def test_evaluating_a_refit_names_it_in_the_journal_and_promotes_nothing(job):
    named = replace(job, options=Namespace(**{**vars(job.options), "version": RECENT_REFIT}))
    found = evaluate(named)
    assert (found["version"], found["judged_version"]) == (RECENT_REFIT, RECENT)
    [entry] = job.catalog.entries("toy", kind="judged")
    assert entry.payload == found
    assert job.catalog.aliases("toy") == {}


def test_without_a_name_the_best_of_the_newest_run_is_evaluated(job):
    every = judge(job, [ALL, ALL_REFIT, RECENT, RECENT_REFIT], as_of=AS_OF)
    found = evaluate(job)
    assert found == best(every).as_dict()
    losses = [one.evidence.candidate["log_loss"] for one in every]
    assert found["version"] == every[losses.index(min(losses))].version


def test_the_same_rows_are_judged_alike_again(job):
    first, second = (judge(job, [ALL, RECENT], as_of=AS_OF) for _ in range(2))
    assert first == second
    assert all(isinstance(one.verdict, gates.Promote | gates.Hold) for one in first)


def registered_with(job, lineage):
    """A champion whose lineage is this, by the bundle of another version."""
    made = job.catalog.version("toy", ALL)
    number = job.catalog.register(
        "toy",
        run_id="by-hand",
        candidate="all",
        kind="network",
        bundle_uri=made.bundle_uri,
        bundle_hash=made.bundle_hash,
        lineage=lineage,
        scores={},
        by="admin",
        at=AS_OF,
    )
    promote(job, number)


def test_a_champion_that_says_only_when_it_was_trained_is_judged_on_later_rows(job):
    registered_with(job, {"as_of": (AS_OF - timedelta(days=10)).isoformat()})
    [found] = judge(with_minimum(job, 1), [ALL], as_of=AS_OF)
    assert 0 < found.evidence.num_rows < holdout_rows(job, ALL)


def test_a_champion_that_does_not_say_when_it_was_trained_is_named(job):
    registered_with(job, {})
    with pytest.raises(TrainingError, match=r"The lineage of version 5 does not say"):
        judge(job, [ALL], as_of=AS_OF)


def test_gates_beside_the_scores_look_at_slices_older_rows_and_the_time_of_a_batch(job):
    promote(job, ALL)
    asked = (
        NoSliceWorse(columns=("site",), min_rows=20, margin=9.0),
        KeepsOlder(margin=9.0),
        QuickEnough(max_ms=1e4, num_rows=16),
    )
    [found] = judge(asking(job, *asked), [RECENT], as_of=AS_OF)
    slices, older, times = found.verdict.reasons
    assert "where site is " in slices
    assert "rows from before its own" in older
    assert "for 16 rows, the champion" in times
    assert found.is_promote
    assert {one.name for one in found.evidence.further.slices} == {"site is alpha", "site is beta", "site is gamma"}


def test_golden_rows_are_answered_by_the_version_itself(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = cohorts.training_rows(job.lake, workload, as_of=AS_OF).slice(0, 20)
    version = job.catalog.version("toy", ALL)
    answers = _judging._answers(job, version, rows)
    columns = rows.select([column.name for column in workload.columns])
    pyarrow.csv.write_csv(columns.append_column("answer", pa.array(answers)), "golden.csv")
    [kept] = judge(asking(job, KeepsGolden(path="golden.csv", tolerance=1e-6)), [ALL], as_of=AS_OF)
    assert kept.is_promote, kept.verdict
    turned = columns.append_column("answer", pa.array(1 - answers))
    pyarrow.csv.write_csv(turned, "golden.csv")
    [held] = judge(asking(job, KeepsGolden(path="golden.csv", tolerance=0.01)), [ALL], as_of=AS_OF)
    assert "golden answers are off by more than 0.01, worst row" in held.verdict.reasons[0]
    broken = _guarding._golden(workload, KeepsGolden(path="golden.csv", tolerance=9.0), lambda asked: answers * np.nan)
    assert (broken.num_off, broken.worst_row) == (20, 1)
    unknown = columns.append_column("answer", pa.array([None, *answers[1:]], pa.float64()))
    pyarrow.csv.write_csv(unknown, "golden.csv")
    with pytest.raises(WorkloadError, match=r"Of 20 golden rows of golden.csv 1 have no answer"):
        judge(asking(job, KeepsGolden(path="golden.csv", tolerance=0.01)), [ALL], as_of=AS_OF)
    pyarrow.parquet.write_table(unknown.slice(0, 0), "golden.parquet")
    with pytest.raises(WorkloadError, match=r"Of 0 golden rows"):
        judge(asking(job, KeepsGolden(path="golden.parquet", tolerance=0.01)), [ALL], as_of=AS_OF)
    with pytest.raises(WorkloadError, match=r"nowhere.csv cannot be read"):
        judge(asking(job, KeepsGolden(path="nowhere.csv", tolerance=0.01)), [ALL], as_of=AS_OF)
