"""Predictions without a due time: when they mature, and that each matures once."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat import cohorts
from heliostat.ids import prediction_id
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema
from heliostat.watch.awaited import Awaited
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.delays import Maturity, maturity, with_due

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_US = 86_400e6
INSTANT = pa.timestamp("us", tz="UTC")


def waits(num_rows, *, days, mean=10.0, never=0.0, seed=1):
    """(delays, ages) of predictions at even distances over so many days, and delays that are exponential."""
    random = np.random.default_rng(seed)
    ages = np.linspace(0, days, num_rows) * DAY_US
    delays = random.exponential(mean, num_rows) * DAY_US
    delays[random.random(num_rows) < never] = np.nan
    return np.where(delays <= ages, delays, np.nan), ages


def test_predictions_that_still_wait_are_not_taken_for_ones_without_a_label():
    delays, ages = waits(20_000, days=90)
    found = maturity(delays, ages)
    assert found.after / DAY == pytest.approx(-10 * np.log(0.05), rel=0.05)
    assert found.coverage == pytest.approx(0.95, abs=0.01)


def test_labels_that_never_come_lower_the_coverage_and_not_the_time():
    found = maturity(*waits(20_000, days=90, never=0.3))
    assert found.after / DAY == pytest.approx(30, rel=0.07)
    assert found.coverage == pytest.approx(0.95 * 0.7, abs=0.02)


def test_a_short_look_back_does_not_take_early_labels_for_all():
    assert maturity(*waits(20_000, days=15)) is None
    assert maturity(np.full(100, np.nan), np.full(100, DAY_US)) is None
    assert maturity(np.zeros(0), np.zeros(0)) is None


def test_labels_at_once_mature_at_once():
    assert maturity(np.zeros(500), np.linspace(0, DAY_US, 500)) == Maturity(after=timedelta(0), coverage=1.0)


def test_a_due_time_that_was_said_is_kept_and_a_missing_one_estimated():
    at = [START + hour * timedelta(hours=1) for hour in range(400)]
    rows = pa.table(
        {
            "event_at": pa.array(at, INSTANT),
            "due_at": pa.array([START + 500 * DAY, *[None] * 399], INSTANT),
            "label": pa.array([1.0] * 400),
            "label_known_at": pa.array([one + timedelta(hours=5) for one in at], INSTANT),
        }
    )
    due_at = with_due(rows, as_of=START + 20 * DAY)["due_at"].to_pylist()
    assert due_at[0] == START + 500 * DAY
    assert due_at[1] == at[1] + timedelta(hours=5)
    assert with_due(rows.slice(0, 1), as_of=START)["due_at"].to_pylist() == [START + 500 * DAY]
    assert with_due(rows, as_of=START + timedelta(hours=6))["due_at"].to_pylist()[1] is None


@pytest.mark.parametrize("seed", range(5))
def test_every_prediction_matures_once_however_the_estimate_changes(seed):
    random = np.random.default_rng(seed)
    waiting = Awaited(undated_since=START)
    spans = []
    for day in range(1, 60):
        until = START + day * DAY
        waiting = waiting.estimated(Maturity(after=float(random.uniform(0, 20)) * DAY, coverage=0.9), at=until)
        before, waiting = waiting, Awaited.from_json(waiting.matured(until).to_json())
        spans.append((before.undated_since, waiting.undated_since))
    assert spans[0][0] == START
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert all(begin <= end for begin, end in spans)
    assert spans[-1][1] > START + 30 * DAY


def test_an_estimate_is_looked_at_again_after_some_windows_and_only_where_it_is_needed():
    assert not Awaited().is_estimate_old(START, span=DAY)
    waiting = Awaited(undated_since=START)
    assert waiting.is_estimate_old(START, span=DAY)
    waiting = waiting.estimated(Maturity(after=DAY, coverage=1.0), at=START)
    assert not waiting.is_estimate_old(START + 6 * DAY, span=DAY)
    assert waiting.is_estimate_old(START + 7 * DAY, span=DAY)
    assert waiting.estimated(None, at=START + 7 * DAY).maturity == waiting.maturity


NUM_DAYS, ROWS_A_DAY = 120, 40


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Four months without due times: a 1 is known within two days, a 0 within twenty; one in ten never."""
    lake, random = Lake(str(tmp_path_factory.mktemp("undated"))), np.random.default_rng(3)
    predictions, labels = [], []
    for number in range(NUM_DAYS * ROWS_A_DAY):
        event_at = START + number * DAY / ROWS_A_DAY
        identifier, value = prediction_id("r", number, event_at=event_at), float(random.random() < 0.4)
        fixed = {"version": 1, "degraded": False, "probability": 0.4, "event_date": event_at.date()}
        predictions.append({"id": identifier, "key": f"k{number}", "event_at": event_at, **fixed})
        if random.random() < 0.9:
            known_at = event_at + (2 if value else 20) * random.uniform(0.5, 1.0) * DAY
            told = {"id": identifier, "value": value, "known_at": known_at, "received_at": known_at}
            labels.append({**told, "event_date": event_at.date()})
    schemas = (("predictions", predictions, prediction_schema(())), ("labels", labels, label_schema()))
    for name, rows, schema in schemas:
        lake.append("toy", name, conform(pa.Table.from_pylist(rows), schema), stream="recorder", sequence=1)
    return lake


def test_quality_of_predictions_without_a_due_time_is_that_of_all_labels_and_not_of_early_ones(lake):
    clock = START + NUM_DAYS * DAY
    found = cohorts.label_delays(lake, "toy", as_of=clock)
    assert 10 * DAY < found.after <= 20 * DAY
    assert found.coverage > 0.8
    before = Awaited(undated_since=clock - 30 * DAY, maturity=found)
    rows = cohorts.matured(lake, "toy", (), since=clock - DAY, until=clock, before=before, after=before.matured(clock))
    rate = np.nanmean(rows["label"].to_numpy())
    assert rate == pytest.approx(0.4, abs=0.05)
    early = cohorts.joined(lake, "toy", (), since=clock - 10 * DAY, until=clock, known_by=clock)
    assert np.nanmean(early["label"].to_numpy()) > 0.9  # what arrived is nearly all ones
    scored = score_cohort(rows, since=clock - DAY, until=clock).score_by_version[1]
    assert scored.num_predictions == rows.num_rows > 300
    assert scored.coverage > 0.8
    assert scored.label_delay_s["0.95"] < 20 * 86_400


def test_labels_looked_up_day_by_day_are_the_same_as_all_at_once(lake):
    clock = START + 60 * DAY
    whole = cohorts.joined(lake, "toy", (), since=START, until=clock, known_by=clock)
    rows = lake.read("toy", "predictions", schema=prediction_schema(()), where=[("event_at", "<", clock)])
    by_day = cohorts.labelled(lake, "toy", rows, known_by=clock)
    assert by_day.sort_by("id")["label"].to_pylist() == whole.sort_by("id")["label"].to_pylist()
