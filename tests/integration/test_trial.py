"""What a canary is judged on: matured pairs on live rows, and the rows that the candidate could not answer."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from actors.trial import compare
from heliostat.metrics import log_losses
from heliostat.store.lake import Lake
from tests.toy_lake import answer, rows_of, tell
from tests.toy_quick import workload

SINCE = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = rows_of(since=SINCE, until=SINCE + 10 * DAY)
ARMS = ["candidate" if number % 4 == 0 else "champion" for number in range(ROWS.num_rows)]
CANDIDATE, CHAMPION = np.linspace(0.2, 0.6, ROWS.num_rows), np.full(ROWS.num_rows, 0.5)


def lake_with(path, **given):
    lake = Lake(str(path))
    scores = {"candidate_probability": CANDIDATE, "champion_probability": CHAMPION, **given}
    answer(lake, ROWS, arms=ARMS, version=[2 if arm == "candidate" else 1 for arm in ARMS], **scores)
    tell(lake, ROWS)
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return lake_with(tmp_path_factory.mktemp("trial"))


def seen(lake, *, clock, since=SINCE):
    return compare(lake, "toy", workload.columns, since=since, clock=clock)


def test_before_the_first_row_is_due_there_is_no_pair(lake):
    found = seen(lake, clock=SINCE + 5 * DAY)
    assert (found.paired, found.num_errors) == (None, 0)
    assert found.num_scored == sum(row["event_at"] < SINCE + 5 * DAY for row in ROWS.to_pylist()) > 0


def test_the_pairs_are_the_rows_that_are_due_with_a_label_known_by_then(lake):
    clock = SINCE + 9 * DAY
    found = seen(lake, clock=clock)
    is_due = [row["due_at"] <= clock and row["label"] is not None for row in ROWS.to_pylist()]
    assert found.paired.num_rows == sum(is_due) > 30
    labels = np.array(pc.fill_null(ROWS["label"], 0.0).to_pylist())[is_due]
    difference = log_losses(labels, CANDIDATE[is_due]) - log_losses(labels, CHAMPION[is_due])
    assert found.paired.mean_difference == pytest.approx(difference.mean())
    assert found.paired.champion == 1


def test_rows_before_the_trial_do_not_count(lake):
    later = seen(lake, clock=SINCE + 20 * DAY, since=SINCE + 5 * DAY)
    whole = seen(lake, clock=SINCE + 20 * DAY)
    assert 0 < later.paired.num_rows < whole.paired.num_rows


def test_a_row_that_only_one_version_answered_is_no_pair(tmp_path):
    half = [None if number % 2 else value for number, value in enumerate(CANDIDATE)]
    found = seen(lake_with(tmp_path, candidate_probability=half), clock=SINCE + 20 * DAY)
    labelled = [row["label"] is not None for row in ROWS.to_pylist()]
    assert found.paired.num_rows == sum(labelled[::2])


def test_rows_that_the_candidate_could_not_answer_are_counted_at_once(tmp_path):
    degraded = [number % 8 == 0 for number in range(ROWS.num_rows)]
    lake = lake_with(tmp_path, degraded=degraded)
    clock = SINCE + 1 * DAY
    asked = [flag for flag, row in zip(degraded, ROWS.to_pylist(), strict=True) if row["event_at"] < clock]
    assert seen(lake, clock=clock).num_errors == sum(asked) > 0


def test_the_champions_own_degraded_rows_are_not_the_candidates_errors(tmp_path):
    lake = lake_with(tmp_path, degraded=[arm == "champion" for arm in ARMS])
    assert seen(lake, clock=SINCE + 20 * DAY).num_errors == 0


def test_a_trial_without_any_traffic_says_nothing(tmp_path):
    found = seen(Lake(str(tmp_path)), clock=SINCE + DAY)
    assert (found.paired, found.num_errors) == (None, 0)
