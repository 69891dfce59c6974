"""What a canary is judged on: matured pairs on live rows, and the rows that the candidate could not answer."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from actors.trial import compare, compared
from heliostat.govern.comparison import estimated
from heliostat.metrics import log_losses
from heliostat.store.lake import Lake
from heliostat.tasks import BINARY
from tests.toy_lake import answer, rows_of, shadow, tell
from tests.toy_quick import workload

SINCE = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = rows_of(since=SINCE, until=SINCE + 10 * DAY)
ARMS = np.array(["candidate" if number % 4 == 0 else "champion" for number in range(ROWS.num_rows)])
IS_CANDIDATE = ARMS == "candidate"
CANDIDATE, CHAMPION = np.linspace(0.2, 0.6, ROWS.num_rows), np.full(ROWS.num_rows, 0.5)


def lake_with(path, *, asked=None, **given):
    """Candidate 2 and champion 1 each answered their part, and were asked for the other's."""
    lake = Lake(str(path))
    probability = np.where(IS_CANDIDATE, CANDIDATE, CHAMPION)
    answer(lake, ROWS, arms=ARMS.tolist(), version=np.where(IS_CANDIDATE, 2, 1), probability=probability, **given)
    other = np.where(IS_CANDIDATE, CHAMPION, CANDIDATE)
    kept = np.ones(ROWS.num_rows, bool) if asked is None else asked
    rows = ROWS.filter(pa.array(kept))
    times = {
        "latency_ms": np.where(IS_CANDIDATE, 1.0, 3.0)[kept],
        "answer_latency_ms": np.where(IS_CANDIDATE, 3, 1)[kept],
    }
    shadow(lake, rows, version=np.where(IS_CANDIDATE, 1, 2)[kept], probability=other[kept], **times)
    tell(lake, ROWS)
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return lake_with(tmp_path_factory.mktemp("trial"))


def seen(lake, *, clock, since=SINCE):
    return compare(lake, "toy", workload.columns, version=2, since=since, clock=clock)


def test_before_the_first_row_is_due_there_is_no_pair(lake):
    found = seen(lake, clock=SINCE + 5 * DAY)
    assert (found.losses, found.num_errors) == (None, 0)
    assert found.num_scored == sum(row["event_at"] < SINCE + 5 * DAY for row in ROWS.to_pylist()) > 0


def test_the_pairs_are_the_rows_that_are_due_with_a_label_known_by_then(lake):
    clock = SINCE + 9 * DAY
    found = seen(lake, clock=clock)
    is_due = [row["due_at"] <= clock and row["label"] is not None for row in ROWS.to_pylist()]
    assert found.losses.num_rows == sum(is_due) > 30
    labels = np.array(pc.fill_null(ROWS["label"], 0.0).to_pylist())[is_due]
    difference = log_losses(labels, CANDIDATE[is_due]) - log_losses(labels, CHAMPION[is_due])
    assert found.losses.mean_difference == pytest.approx(difference.mean())
    assert found.losses.champion == 1


def test_rows_before_the_trial_do_not_count(lake):
    later = seen(lake, clock=SINCE + 20 * DAY, since=SINCE + 5 * DAY)
    whole = seen(lake, clock=SINCE + 20 * DAY)
    assert 0 < later.losses.num_rows < whole.losses.num_rows


def test_a_row_that_only_one_version_answered_is_no_pair(tmp_path):
    half = np.arange(ROWS.num_rows) % 2 == 0
    found = seen(lake_with(tmp_path, asked=half), clock=SINCE + 20 * DAY)
    labelled = [row["label"] is not None for row in ROWS.to_pylist()]
    assert found.losses.num_rows == sum(labelled[::2])


def test_rows_that_the_candidate_could_not_answer_are_counted_at_once(tmp_path):
    degraded = np.arange(ROWS.num_rows) % 8 == 0
    lake = lake_with(tmp_path, degraded=degraded)
    clock = SINCE + 1 * DAY
    asked = [flag for flag, row in zip(degraded, ROWS.to_pylist(), strict=True) if row["event_at"] < clock]
    assert seen(lake, clock=clock).num_errors == sum(asked) > 0


def test_the_champions_own_degraded_rows_are_not_the_candidates_errors(tmp_path):
    lake = lake_with(tmp_path, degraded=~IS_CANDIDATE)
    assert seen(lake, clock=SINCE + 20 * DAY).num_errors == 0


def test_a_trial_without_any_traffic_says_nothing(tmp_path):
    found = seen(Lake(str(tmp_path)), clock=SINCE + DAY)
    assert (found.losses, found.num_errors) == (None, 0)


def test_each_version_is_timed_where_it_answered_and_where_it_was_asked(lake):
    found = seen(lake, clock=SINCE + 20 * DAY)
    assert (found.own_ms.p50, found.own_ms.p99, found.other_ms.p50, found.other_ms.p99) == (3, 3, 1, 1)
    assert found.distance == pytest.approx(np.abs(CANDIDATE - CHAMPION).mean())
    assert found.agreement == pytest.approx((CANDIDATE >= 0.5).mean())


def test_what_was_never_asked_is_no_comparison_and_is_said(tmp_path):
    asked = np.arange(ROWS.num_rows) < 100
    found = seen(lake_with(tmp_path, asked=asked), clock=SINCE + 20 * DAY)
    assert (found.num_answered, found.num_compared) == (ROWS.num_rows, 100)


def test_a_row_that_the_candidate_was_asked_about_in_vain_is_its_error(tmp_path):
    lake = Lake(str(tmp_path))
    answer(lake, ROWS)
    broken = np.arange(ROWS.num_rows) % 10 == 0
    shadow(
        lake, ROWS, probability=pa.array(CANDIDATE, mask=broken), error=pa.array(np.where(broken, "no", None).tolist())
    )
    found = seen(lake, clock=SINCE + 20 * DAY)
    assert (found.num_errors, found.error) == (broken.sum(), "no")
    assert found.num_compared == (~broken).sum()


def test_slices_tell_where_two_versions_differ(tmp_path):
    lake = Lake(str(tmp_path))
    sites = ROWS["site"].to_pylist()
    answer(lake, ROWS, probability=0.4)
    shadow(lake, ROWS, probability=[0.9 if site == "beta" else 0.4 for site in sites])
    found = seen(lake, clock=SINCE + 20 * DAY)
    by_site = {part.value: part for part in found.slices if part.column == "site"}
    assert {name: part.num_rows for name, part in by_site.items()} == {name: sites.count(name) for name in set(sites)}
    assert {name: (part.agreement, round(part.distance, 9)) for name, part in by_site.items()} == {
        name: (0.0, 0.5) if name == "beta" else (1.0, 0.0) for name in set(sites)
    }
    temperatures = [part for part in found.slices if part.column == "temperature_c"]
    assert [part.value == "(missing)" for part in temperatures] == [False] * 4 + [True]
    assert sum(part.num_rows for part in temperatures) == ROWS.num_rows


def test_what_both_versions_expect_of_themselves_is_known_before_any_label(lake):
    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    _, rows = compared(lake, "toy", workload.columns, version=2, since=SINCE, clock=SINCE + 5 * DAY)
    found = estimated(rows, BINARY)
    is_asked = np.array([row["event_at"] < SINCE + 5 * DAY for row in ROWS.to_pylist()])
    assert found.num_rows == is_asked.sum()
    assert found.difference == pytest.approx((entropy(CANDIDATE) - entropy(CHAMPION))[is_asked].mean())
    assert 0 < found.standard_error < 0.05
    assert estimated(rows.slice(0, 0), BINARY) is None
