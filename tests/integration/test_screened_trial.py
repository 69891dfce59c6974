"""Labels that one of two sources turns round while a candidate is on trial: they neither end it nor undo it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.govern.quarantine import KEPT_OUT, RELEASED
from heliostat.store.schema import conform, label_schema
from heliostat.tasks import BINARY
from heliostat.told_labels import READ_AT_ONCE, SPAN, answered, counted
from tests.integration.test_steward_actor import DAY, WATCH, advance, ask, end_run, made, outcomes
from tests.stage import START
from tests.toy_lake import answer, rows_of, shadow

ROWS = rows_of(since=START + 2 * DAY, until=START + 9 * DAY)
TRUTH = np.array([0.0 if label is None else label for label in ROWS["label"].to_pylist()])
ANA, MALLORY = "http/ana", "http/mallory"
IS_MALLORYS = np.arange(len(TRUTH)) % 2 == 0
GOOD, BAD = 0.97, 0.6  # how sure of the truth a candidate is; the champion is by 0.95


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    return made(tmp_path / "home", monkeypatch, first_run)


def sure_of_the_truth(share):
    return np.where(TRUTH == 1, share, 1 - share)


def on_trial(stage, candidate):
    """A week in which both versions answered all rows; the ids of the answers."""
    ask(stage)
    advance(stage, 1)
    end_run(stage)
    assert advance(stage, 2).phase == "canary"
    ids = answer(stage.lake, ROWS, probability=sure_of_the_truth(0.95))
    shadow(stage.lake, ROWS, version=4, probability=sure_of_the_truth(candidate))
    return ids


def tell(stage, ids, *, is_poisoned, delay=DAY, mallory=MALLORY):
    known_at = [at + delay for at in ROWS["event_at"].to_pylist()]
    labels = {
        "id": ids,
        "value": np.where(IS_MALLORYS & is_poisoned, 1 - TRUTH, TRUTH),
        "known_at": known_at,
        "received_at": known_at,
        "source": np.where(IS_MALLORYS, mallory, ANA).tolist(),
    }
    table = pa.table(labels).append_column("event_date", ROWS["event_at"].cast(pa.date32()))
    stage.lake.append("toy", "labels", conform(table, label_schema()), stream="recorder", sequence=1)


def suspected(stage):
    return {said["source"]: said["is_shut_out"] for _, said in stage.said("labels_suspected")}


@pytest.mark.parametrize("is_poisoned", [False, True])
@pytest.mark.parametrize(("candidate", "outcome"), [(GOOD, "promoted"), (BAD, "rolled_back")])
def test_a_poisoned_source_neither_stops_a_good_candidate_nor_promotes_a_bad_one(
    stage, is_poisoned, candidate, outcome
):
    tell(stage, on_trial(stage, candidate), is_poisoned=is_poisoned)
    advance(stage, 16)
    assert outcomes(stage) == [outcome]
    assert suspected(stage) == ({MALLORY: True} if is_poisoned else {})


@pytest.mark.parametrize(("candidate", "outcome"), [(GOOD, "rolled_back"), (BAD, "promoted")])
def test_where_all_labels_come_from_one_source_they_judge_and_nobody_is_shut_out(stage, candidate, outcome):
    tell(stage, on_trial(stage, candidate), is_poisoned=True, mallory=ANA)
    advance(stage, 16)
    assert outcomes(stage) == [outcome]
    assert suspected(stage) == {ANA: False}


@pytest.mark.parametrize("candidate", [GOOD, BAD])
def test_beyond_a_declared_limit_the_only_source_judges_nothing_until_it_is_released(
    tmp_path, monkeypatch, first_run, candidate
):
    loop = replace(WATCH.loop, max_contradicted=0.3)
    stage = made(tmp_path / "home", monkeypatch, first_run, watch=replace(WATCH, loop=loop))
    tell(stage, on_trial(stage, candidate), is_poisoned=True, mallory=ANA)
    advance(stage, 16)
    assert suspected(stage) == {ANA: True}
    [ended] = [said for _, said in stage.said("turn_ended")]
    assert "0 matured pairs are too few to compare losses" in ended["outcome_reasons"][0]
    advance(stage, 17)
    assert 'heliostat_label_sources_shut_out{workload="toy"} 1.0' in stage.monitor.metrics()


def test_cohorts_leave_out_labels_that_are_shut_out(stage):
    tell(stage, on_trial(stage, GOOD), is_poisoned=True)
    span = {"since": START.isoformat(), "until": (START + 90 * DAY).isoformat()}
    stage.catalog.append(KEPT_OUT, "toy", {"source": MALLORY, **span, "reason": "broken meter"}, by="a", at=START)
    stage.monitor.observe(START + 16 * DAY)
    cohorts = stage.monitor._restored().cohorts
    scores = [score for one in cohorts for score in one.score_by_version.values()]
    num_due = sum(score.num_predictions for score in scores)
    assert num_due > 100
    assert sum(score.num_labelled for score in scores) == pytest.approx(num_due / 2, abs=2)
    assert max(score.score_by_metric["log_loss"] for score in scores) < 0.06  # with the turned labels it is 1.5


def test_labels_that_come_late_and_are_poisoned_do_not_undo_a_promotion_until_they_are_released(stage):
    ids = on_trial(stage, GOOD)
    advance(stage, 10)
    assert outcomes(stage) == ["promoted"]
    tell(stage, ids, is_poisoned=True, delay=8 * DAY)
    advance(stage, 20)
    assert stage.catalog.aliases("toy")["champion"] == 4
    assert suspected(stage) == {MALLORY: True}
    span = {"since": START.isoformat(), "until": (START + 90 * DAY).isoformat()}
    stage.catalog.append(RELEASED, "toy", {"source": MALLORY, **span, "reason": "it was right"}, by="a", at=START)
    advance(stage, 24)
    assert stage.catalog.aliases("toy")["champion"] == 1


def test_labels_are_screened_once_when_they_judge_and_not_at_every_look(stage, monkeypatch):
    ids = on_trial(stage, GOOD)
    tell(stage, ids, is_poisoned=False)
    looks = []
    monkeypatch.setattr(
        "actors.hearing.answered", lambda *given, **options: looks.append(1) or answered(*given, **options)
    )
    for hours in range(0, 24 * 6, 6):
        advance(stage, 2 + hours / 24)
    assert not looks
    advance(stage, 16)
    assert len(looks) == 1


def test_what_a_candidate_answered_is_no_witness_against_labels(stage):
    arms = np.where(np.arange(ROWS.num_rows) % 4 < 2, "candidate", "champion").tolist()
    ids = answer(stage.lake, ROWS, arms=arms, probability=sure_of_the_truth(0.95))
    tell(stage, ids, is_poisoned=False)
    found = answered(stage.lake, "toy", task=BINARY, as_of=START + 40 * DAY)
    assert found.num_rows == arms.count("champion")


def test_labels_are_counted_the_same_however_many_days_are_read_at_once(stage, monkeypatch):
    ids = answer(stage.lake, ROWS, probability=sure_of_the_truth(0.95))
    tell(stage, ids, is_poisoned=True)
    as_of = START + 40 * DAY
    assert READ_AT_ONCE < SPAN
    parts = counted(answered(stage.lake, "toy", task=BINARY, as_of=as_of), span=DAY)
    monkeypatch.setattr("heliostat.told_labels.READ_AT_ONCE", timedelta(days=365))
    assert counted(answered(stage.lake, "toy", task=BINARY, as_of=as_of), span=DAY) == parts
    assert sum(one.num_confident for one in parts) == ROWS.num_rows
