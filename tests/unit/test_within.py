"""Drift within slices: what moves in a tenth of the rows is seen there, and calm slices say nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.signal import lfilter

from heliostat import Category, Drift, Number, SliceDrift, Watching
from heliostat.errors import WorkloadError
from heliostat.watch import within
from heliostat.watch.events import Alert, ChampionChanged, Retrain
from heliostat.watch.measurements import measurements
from heliostat.watch.monitor import MonitorState
from heliostat.watch.monitor_json import window_from_json, window_to_json
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows
from tests.toy import workload

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
COLUMNS = (*(Number(f"x{place}", low=-1e9, high=1e9) for place in range(3)), Category("site"), Category("many"))
REFERENCE_DAYS, WINDOW_ROWS = 20, 600
SHARES = {"alpha": 0.1, "beta": 0.3, "gamma": 0.6}
TRIGGERS = (Drift(), SliceDrift())


def table(num_days, *, seed, shift=0.0, rho=0.0, first_day=0):
    """Days of rows; `shift` moves x1 of the rows of alpha, a tenth of all."""
    random = np.random.default_rng(seed)
    num_rows = num_days * WINDOW_ROWS
    rows = lfilter([np.sqrt(1 - rho**2)], [1, -rho], random.normal(size=(num_rows + 500, 3)), axis=0)[500:]
    site = random.choice([*SHARES], num_rows, p=[*SHARES.values()])
    rows[site == "alpha", 1] += shift
    days = np.repeat(np.arange(first_day, first_day + num_days), WINDOW_ROWS).astype("timedelta64[D]")
    event_at = pa.array(np.datetime64(START.replace(tzinfo=None), "us") + days).cast(pa.timestamp("us", tz="UTC"))
    many = random.choice([f"m{number}" for number in range(30)], num_rows)
    return pa.table(
        {**{f"x{place}": rows[:, place] for place in range(3)}, "site": site, "many": many, "event_at": event_at}
    )


def answers_to(rows):
    """Answers that follow x1, as a model's would."""
    return 1 / (1 + np.exp(-rows["x1"].to_numpy()))


def profile_of(reference, names=("site",)):
    return Profile.fit(reference, COLUMNS, answers_to(reference), window=DAY, within=names)


def played(profile, rows, triggers=TRIGGERS):
    """Windows one after the other, and what the monitor decides on them."""
    state, windows = MonitorState(triggers), Windows(profile, version=1, span=DAY)
    state.handle(ChampionChanged(at=START, version=1, trained_until=START))
    windows.add(rows, answers_to(rows))
    closed = windows.close(START + 10_000 * DAY)
    decisions = [decision for window in closed for decision in state.handle(window_from_json(window_to_json(window)))]
    return closed, decisions


@pytest.fixture(scope="module")
def profile():
    return profile_of(table(REFERENCE_DAYS, seed=0))


def test_a_shift_in_a_tenth_of_the_rows_is_seen_in_that_slice_and_not_in_all_rows(profile):
    calm = table(5, seed=1, first_day=30)
    rows = pa.concat_tables([calm, table(5, seed=2, shift=1.5, first_day=35)])
    closed, decisions = played(profile, rows)
    (alert,) = [one for one in decisions if isinstance(one, Alert)]
    (retrain,) = [one for one in decisions if isinstance(one, Retrain)]
    (condition,) = retrain.evidence["conditions"]
    assert condition["trigger"] == "slice_drift"  # Drift, which looks at all rows, is declared and silent
    assert list(condition["excess_psi_by_slice"]) == ["x1 in site=alpha"]
    assert {*alert.evidence["excess_psi_by_slice"]} == {"x1 in site=alpha", "probability in site=alpha"}
    assert retrain.onset_at == START + 35 * DAY
    assert "site=alpha" in alert.reason
    assert closed[-1].drift_by_column["x1"].effect < 0.05


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_calm_slices_are_silent_also_where_neighbouring_rows_are_alike(seed, rho):
    profile = profile_of(table(REFERENCE_DAYS, seed=100 + seed, rho=rho), names=("site", "many"))
    closed, decisions = played(profile, table(25, seed=200 + seed, rho=rho, first_day=30))
    assert len(closed) == 25
    assert len(closed[0].within.slices) > len(SHARES)
    assert decisions == []


def test_what_moves_everywhere_moves_in_every_slice(profile):
    rows = table(4, seed=3, first_day=30)
    moved = rows.set_column(0, "x0", pa.array(rows["x0"].to_numpy() + 1.5))
    _, decisions = played(profile, moved)
    (retrain,) = [one for one in decisions if isinstance(one, Retrain)]
    triggers = {one["trigger"]: one for one in retrain.evidence["conditions"]}
    assert {*triggers["slice_drift"]["excess_psi_by_slice"]} == {f"x0 in site={name}" for name in SHARES}
    assert "drift" in triggers


def test_a_slice_of_few_rows_in_a_window_says_nothing(profile):
    rows = table(4, seed=4, shift=3.0, first_day=30)
    is_alpha = rows["site"].to_numpy(zero_copy_only=False) == "alpha"
    place = np.cumsum(is_alpha)
    thinned = rows.filter(pa.array(~is_alpha | (place % 4 == 0)))  # about 15 rows of alpha a window
    closed, decisions = played(profile, thinned)
    assert all(one.within.num_rows[2] < 30 for one in closed)
    assert decisions == []


def test_rows_count_the_same_in_any_order_and_grouping(profile):
    rows = table(2, seed=5)
    order = np.random.default_rng(0).permutation(rows.num_rows)
    whole = profile.count(rows, answers_to(rows))
    parts = [profile.count(part, answers_to(part)) for part in (rows.take(one) for one in np.array_split(order, 3))]
    assert parts[2] + (parts[0] + parts[1]) == whole
    assert profile.empty + whole == whole


def test_each_slice_counts_its_rows_as_the_whole_would_count_them_alone(profile):
    rows = table(1, seed=6)
    found = np.array(profile.count(rows, answers_to(rows)).within).reshape(len(SHARES), -1)
    for (name, group), counts in zip([(one.column, one.group) for one in profile.within.slices], found, strict=True):
        alone = rows.filter(pa.array(rows[name].to_numpy(zero_copy_only=False) == group))
        expected = profile.count(alone, answers_to(alone)).by_column
        assert counts.tolist() == [alone.num_rows, *(number for one in profile.bins for number in expected[one.name])]


def test_rows_in_slices_of_several_columns_count_in_each_of_them_a_batch_at_a_time(monkeypatch):
    found = profile_of(table(REFERENCE_DAYS, seed=12), names=("site", "x0"))
    rows = table(1, seed=13)
    whole = found.count(rows, answers_to(rows)).within
    monkeypatch.setattr(within, "BATCH_ROWS", 100)
    assert found.count(rows, answers_to(rows)).within == whole
    num_rows = dict(zip(found.within.slices, np.array(whole).reshape(len(found.within.slices), -1)[:, 0], strict=True))
    for name in ("site", "x0"):
        assert sum(number for one, number in num_rows.items() if one.column == name) == WINDOW_ROWS
    for one, number in num_rows.items():
        bins = next(each for each in found.bins if each.name == one.column)
        assert number == (bins.codes(rows[one.column]) == one.code).sum()


def test_cells_that_no_caller_sent_are_in_no_bin_and_in_no_slice(profile):
    rows = table(1, seed=7)
    unsent = {"x0": np.arange(WINDOW_ROWS) < 200, "site": np.arange(WINDOW_ROWS) >= 500}
    counts = profile.count(rows, answers_to(rows), unsent=unsent).within
    sent, some = rows.slice(0, 500), rows.slice(200, 300)
    whole, part = (profile.count(one, answers_to(one)).within for one in (sent, some))
    mine, everything, later = (np.array(one).reshape(len(SHARES), -1) for one in (counts, whole, part))
    num_x0 = 1 + profile.bins[0].num_bins
    assert (mine[:, 1:num_x0] == later[:, 1:num_x0]).all()
    assert (mine[:, num_x0:] == everything[:, num_x0:]).all()
    assert (mine[:, 0] == everything[:, 0]).all()


def test_a_profile_that_was_stored_compares_as_before(profile):
    rows = table(1, seed=8)
    counts = profile.count(rows, answers_to(rows))
    again = Profile.from_json(profile.to_json())
    assert again == profile
    assert again.compare_within(type(counts).from_json(counts.to_json())) == profile.compare_within(counts)


def test_there_are_never_more_slices_than_can_be_watched():
    reference = table(REFERENCE_DAYS, seed=9)
    assert profile_of(reference, names=("site",)).within.slices[0].group == "gamma"  # the largest first
    many = profile_of(reference, names=("site", "many", "x0", "x1"))
    assert len(many.within.slices) == within.MAX_SLICES
    narrow = profile_of(reference.slice(0, 300), names=("many",))
    assert [one.group for one in narrow.within.slices] == ["<other>"]  # each of the others has too few rows
    assert profile_of(reference, names=()).within is None


def test_without_slices_to_watch_nothing_is_kept():
    reference = table(2, seed=10)
    found = profile_of(reference, names=())
    assert found.compare_within(found.empty) is None
    assert "within" not in found.to_json()
    assert "within" not in found.empty.to_json()


def test_drift_within_slices_is_exported_by_slice_and_column(profile):
    closed, _ = played(profile, table(1, seed=11, shift=1.5, first_day=30))
    told = measurements(champion=None, window=closed[0], cohort=None, clock=START)
    index = {
        (one.label_by_name["slice"], one.label_by_name["column"]): one.value
        for one in told
        if one.name == "slice_drift_population_stability_index"
    }
    assert index["alpha", "x1"] > 0.25 > max(value for (group, _), value in index.items() if group != "alpha")
    assert not any(column == "site" for _, column in index)
    num_rows = {one.label_by_name["slice"]: one.value for one in told if one.name == "slice_rows"}
    assert sum(num_rows.values()) == WINDOW_ROWS


def test_slices_are_of_columns_of_the_contract_and_a_trigger_that_waits_for_none_is_refused():
    with pytest.raises(WorkloadError, match="nowhere"):
        replace(workload, watching=Watching(within=("nowhere",)))
    with pytest.raises(WorkloadError, match="within"):
        replace(workload, retrain_on=(SliceDrift(),))
    with pytest.raises(WorkloadError, match="at least 2"):
        SliceDrift(run_length=1)
