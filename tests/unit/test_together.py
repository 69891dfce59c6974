"""How columns go together: a change of that alone is seen, and one of each column alone is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.stats import nchypergeom_fisher

from heliostat import Category, Drift, JointDrift, Number, Watching
from heliostat.errors import WorkloadError
from heliostat.watch.events import Alert, ChampionChanged, Retrain
from heliostat.watch.monitor import MonitorState
from heliostat.watch.monitor_json import window_from_json, window_to_json
from heliostat.watch.profile import Profile
from heliostat.watch.tables import Tables, expected_share
from heliostat.watch.together import TOLERANCE, evidence_of
from heliostat.watch.windows import Windows
from tests.toy import workload

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
COLUMNS = (*(Number(f"x{place}", low=-1e9, high=1e9) for place in range(3)), Category("site"))
NAMES = tuple(column.name for column in COLUMNS)
REFERENCE_DAYS, WINDOW_ROWS = 20, 500
TRIGGERS = (Drift(), JointDrift())


def table(num_days, *, seed, correlation=0.0, shift=0.0, tied_site=False, rho=0.0, first_day=0):
    """Days of rows: `correlation` is of x0 and x1, `shift` moves x2; each column alone is as it was for any of them."""
    random = np.random.default_rng(seed)
    num_rows = num_days * WINDOW_ROWS
    noise = random.normal(size=(num_rows + 500, 3))
    rows = lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=0)[500:]
    rows[:, 1] = correlation * rows[:, 0] + np.sqrt(1 - correlation**2) * rows[:, 1]
    site = np.where((rows[:, 2] if tied_site else random.normal(size=num_rows)) > 0, "alpha", "beta")
    days = np.repeat(np.arange(first_day, first_day + num_days), WINDOW_ROWS).astype("timedelta64[D]")
    event_at = pa.array(np.datetime64(START.replace(tzinfo=None), "us") + days).cast(pa.timestamp("us", tz="UTC"))
    rows[:, 2] += shift
    arrays = {name: rows[:, place] for place, name in enumerate(NAMES[:3])}
    return pa.table({**arrays, "site": site, "event_at": event_at})


def profile_of(reference):
    return Profile.fit(reference, COLUMNS, np.full(reference.num_rows, 0.5), window=DAY, together=NAMES)


def played(profile, rows):
    """Windows one after the other, and what the monitor decides on them."""
    state, windows = MonitorState(TRIGGERS), Windows(profile, version=1, span=DAY)
    state.handle(ChampionChanged(at=START, version=1, trained_until=START))
    windows.add(rows, np.full(rows.num_rows, 0.5))
    closed = windows.close(START + 10_000 * DAY)
    decisions = [decision for window in closed for decision in state.handle(window_from_json(window_to_json(window)))]
    return closed, decisions


@pytest.fixture(scope="module")
def profile():
    return profile_of(table(REFERENCE_DAYS, seed=0))


def test_a_changed_correlation_alone_is_told_and_asked_for_with_its_pair_and_onset(profile):
    calm = table(5, seed=1, first_day=30)
    rows = pa.concat_tables([calm, table(4, seed=2, correlation=0.8, first_day=35)])
    _, decisions = played(profile, rows)
    (alert,) = [one for one in decisions if isinstance(one, Alert)]
    (retrain,) = [one for one in decisions if isinstance(one, Retrain)]
    (condition,) = retrain.evidence["conditions"]
    assert condition["trigger"] == "joint_drift"  # Drift, which looks at columns one by one, is declared and silent
    assert list(condition["change_by_pair"]) == ["x0 and x1"]
    assert condition["change_by_pair"]["x0 and x1"] > 0.2
    assert retrain.onset_at == START + 35 * DAY
    assert "x0 and x1" in alert.reason


def test_a_text_that_begins_to_follow_a_number_is_seen(profile):
    _, decisions = played(profile, table(3, seed=3, tied_site=True, first_day=30))
    assert "x2 and site" in decisions[0].evidence["change_by_pair"]


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_calm_streams_are_silent_also_where_neighbouring_rows_are_alike(seed, rho):
    profile = profile_of(table(REFERENCE_DAYS, seed=100 + seed, rho=rho))
    closed, decisions = played(profile, table(25, seed=200 + seed, rho=rho, first_day=30))
    assert len(closed) == 25
    assert decisions == []


def test_a_column_that_moves_on_its_own_goes_together_with_the_others_as_before(profile):
    closed, decisions = played(profile, table(5, seed=4, shift=1.5, first_day=30))
    assert [one.evidence["conditions"][0]["trigger"] for one in decisions if isinstance(one, Retrain)] == ["drift"]
    assert not any("change_by_pair" in one.evidence for one in decisions)
    assert max(closed[-1].together.changes) < TOLERANCE


def test_rows_count_the_same_in_any_order_and_grouping(profile):
    rows, answers = table(2, seed=5), np.full(2 * WINDOW_ROWS, 0.5)
    order = np.random.default_rng(0).permutation(rows.num_rows)
    whole = profile.count(rows, answers)
    parts = [profile.count(rows.take(part), answers[: len(part)]) for part in np.array_split(order, 3)]
    assert parts[2] + (parts[0] + parts[1]) == whole
    assert profile.empty + whole == whole


def test_cells_that_no_caller_sent_are_left_out(profile):
    rows = table(1, seed=6)
    unsent = {"x1": np.arange(WINDOW_ROWS) < 200}
    counts = profile.count(rows, np.full(WINDOW_ROWS, 0.5), unsent=unsent)
    assert counts.together == profile.count(rows.slice(200), np.full(WINDOW_ROWS - 200, 0.5)).together


def test_a_profile_that_was_stored_compares_as_before(profile):
    counts = profile.count(table(1, seed=7), np.full(WINDOW_ROWS, 0.5))
    again = Profile.from_json(profile.to_json())
    assert again.compare_together(type(counts).from_json(counts.to_json())) == profile.compare_together(counts)


def test_few_rows_say_nothing(profile):
    told = profile.compare_together(profile.count(table(1, seed=8, correlation=0.99).slice(0, 20), np.full(20, 0.5)))
    assert set(told.log_evidence) == {0.0}


def test_without_columns_to_watch_together_nothing_is_kept():
    found = Profile.fit(table(2, seed=9), COLUMNS, np.full(2 * WINDOW_ROWS, 0.5), window=DAY)
    assert found.compare_together(found.empty) is None
    assert "together" not in found.to_json()


@pytest.mark.parametrize("odds", [0.05, 0.5, 1.0, 1.0 + 1e-9, 7.0])
def test_the_expected_share_has_the_odds_ratio_that_was_asked(odds):
    one, other = np.array([0.1, 0.5, 0.9]), np.array([0.3, 0.5, 0.2])
    both = expected_share(one, other, log_odds=np.log(np.full(3, odds)))
    assert both * (1 - one - other + both) / ((one - both) * (other - both)) == pytest.approx(odds)


@pytest.mark.parametrize("sides", [(100, 100), (30, 150), (20, 20), (190, 60)])
@pytest.mark.parametrize("odds", [1.0, 4.0])
@pytest.mark.parametrize("direction", [-1, 1])
def test_no_bet_gains_on_average_at_the_edge_of_what_is_tolerated(sides, odds, direction):
    """The exact mean over all tables with these sides (Fisher's noncentral hypergeometric distribution)."""
    num_rows = 200
    support = np.arange(max(0, sum(sides) - num_rows), min(sides) + 1)
    window = Tables(
        num_rows=num_rows,
        one=np.full(len(support), float(sides[0])),
        other=np.full(len(support), float(sides[1])),
        both=support.astype(float),
    )
    # So many rows that the reference is as good as sure of its odds.
    share = float(expected_share(np.array([0.5]), np.array([0.5]), log_odds=np.log([odds]))[0])
    millions = 1e9 * np.ones(len(support))
    reference = Tables(num_rows=int(1e9), one=millions / 2, other=millions / 2, both=millions * share)
    edge = window.expected(np.log(np.full(len(support), odds)))[0] + direction * TOLERANCE * window.spread[0]
    edge = float(np.clip(edge, window.lowest[0] + 1e-3, window.highest[0] - 1e-3))

    def mean(log_odds):
        return nchypergeom_fisher(num_rows, sides[0], sides[1], np.exp(log_odds)).mean() / num_rows - edge

    worst = nchypergeom_fisher(num_rows, sides[0], sides[1], np.exp(brentq(mean, -12, 12)))
    evidence, _ = evidence_of(window, reference, effect=np.ones(len(support)), window_effect=np.ones(len(support)))
    gained = worst.pmf(support) @ np.exp(evidence)
    assert (gained <= 1 + 1e-9).all()


def test_what_is_watched_together_must_be_two_to_sixteen_columns_of_the_contract():
    for names in (("load_percent",), ("load_percent",) * 2, tuple(f"x{number}" for number in range(17))):
        with pytest.raises(WorkloadError, match="2 to 16"):
            Watching(together=names)
    with pytest.raises(WorkloadError, match="nowhere"):
        replace(workload, watching=Watching(together=("load_percent", "nowhere")))
    with pytest.raises(WorkloadError, match="together"):
        replace(workload, retrain_on=(JointDrift(),))
    with pytest.raises(WorkloadError, match="at least 2"):
        JointDrift(run_length=1)
