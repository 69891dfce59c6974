"""Quality of groups before labels come, and whether answers mean what they say in each group."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Category, Classes, Number, Quantity
from heliostat.metrics import accuracy
from heliostat.tasks import BINARY, task_of
from heliostat.watch import groups
from heliostat.watch.awaited import Awaited
from heliostat.watch.bins import CategoryBins
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore
from heliostat.watch.group_calibration import calibration_gaps
from heliostat.watch.groups import GroupTally, tallies
from heliostat.watch.measured_quality import of_groups
from heliostat.watch.monitor import MonitorState
from heliostat.watch.profile import Profile
from heliostat.watch.told import told_of
from heliostat.watch.windows import Windows

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
COLUMNS = (Number("load", low=-1e9, high=1e9), Category("site"))
SITES = ("alpha", "beta", "gamma")


def answered(num_rows, *, seed):
    """Rows of three sites with calibrated probabilities, those of alpha hardly sure of anything."""
    random = np.random.default_rng(seed)
    site = random.choice(SITES, num_rows)
    p = np.where(site == "alpha", random.uniform(0.4, 0.6, num_rows), random.beta(0.5, 0.5, num_rows))
    at = pa.array([START] * num_rows, pa.timestamp("us", tz="UTC"))
    rows = {"load": random.normal(size=num_rows), "site": site, "event_at": at, "version": [1] * num_rows}
    return pa.table({**rows, "degraded": [False] * num_rows}), p


REFERENCE, P = answered(3_000, seed=1)
PROFILE = Profile.fit(REFERENCE, COLUMNS, P)


def windows_of(*parts, grouped_by=("site",), unsent=None):
    windows = Windows(PROFILE, version=1, span=DAY, grouped_by=grouped_by)
    for rows, p in parts:
        windows.add(rows, p, unsent=unsent)
    return windows


def test_each_group_is_expected_to_be_as_good_as_its_own_answers_say():
    rows, p = answered(2_000, seed=2)
    found = windows_of((rows, p)).estimated_groups(START)["site"]
    for site in SITES:
        mine = p[np.array(rows["site"].to_pylist()) == site]
        scores = found[site].scores(BINARY)
        assert found[site].num_rows == len(mine)
        assert scores["log_loss"] == pytest.approx(BINARY.expected(mine).loss)
        assert scores["accuracy"] == pytest.approx(np.maximum(mine, 1 - mine).mean())
    assert found["alpha"].scores(BINARY)["accuracy"] < found["beta"].scores(BINARY)["accuracy"] - 0.1


def test_commits_in_any_order_and_a_restart_between_them_change_no_estimate():
    rows, p = answered(900, seed=3)
    whole = windows_of((rows, p)).estimated_groups(START)["site"]
    first = windows_of((rows.slice(600), p[600:]), (rows.slice(0, 300), p[:300]))
    again = Windows.from_json(first.to_json(), profile=PROFILE, span=DAY, grouped_by=("site",))
    again.add(rows.slice(300, 300), p[300:600])
    parts = again.estimated_groups(START)["site"]
    assert {site: one.num_rows for site, one in parts.items()} == {site: one.num_rows for site, one in whole.items()}
    for site, one in parts.items():
        assert one.loss_sum == pytest.approx(whole[site].loss_sum)


def test_rows_that_another_version_answered_and_cells_that_nobody_sent_are_in_no_group():
    rows, p = answered(600, seed=4)
    is_own = np.arange(600) % 2 == 0
    rows = rows.set_column(rows.column_names.index("version"), "version", pa.array(np.where(is_own, 1, 2)))
    unsent = {"site": np.arange(600) < 100}
    found = windows_of((rows, p), unsent=unsent).estimated_groups(START)["site"]
    assert sum(one.num_rows for one in found.values()) == 250


def test_a_group_is_one_of_the_bins_however_many_values_there_are():
    random = np.random.default_rng(5)
    rows, p = answered(3_000, seed=5)
    many = pa.array(random.choice([f"s{number}" for number in range(500)], 3_000))
    rows = rows.set_column(rows.column_names.index("site"), "site", many)
    assert set(windows_of((rows, p)).estimated_groups(START)["site"]) == {"<other>"}


def test_without_declared_groups_nothing_is_kept_or_stored():
    windows = windows_of(answered(300, seed=6), grouped_by=())
    assert windows.estimated_groups(START) == {}
    assert "by_group" not in windows.to_json()


def test_the_newest_closed_windows_groups_are_exported():
    windows, state = windows_of(answered(900, seed=7)), MonitorState([])
    state.handle(ChampionChanged(at=START, version=1, trained_until=START))
    for closed in windows.close(START + DAY):
        state.handle(closed)
    told = told_of(state, windows=windows, awaited=Awaited(), sensitive=(), clock=START + DAY)
    found = {(one.name, *one.label_by_name.values()): one.value for one in told}
    tally = windows.estimated_groups(START)["site"]["beta"]
    assert found["group_window_rows", "site", "beta"] == tally.num_rows
    assert found["group_estimated_score", "site", "beta", "log_loss"] == tally.scores(BINARY)["log_loss"]


@pytest.mark.parametrize(
    ("label", "answers", "metrics"),
    [
        (Classes("kind", values=("a", "b", "c")), np.array([[0.7, 0.2, 0.1]] * 4), {"log_loss", "accuracy"}),
        (Quantity("minutes"), np.array([[5.0, 1.0, 9.0, 2.0]] * 4), {"mse"}),
    ],
)
def test_classes_and_quantities_are_expected_by_group_too(label, answers, metrics):
    task = task_of(label)
    rows = REFERENCE.slice(0, 4)
    profile = Profile.fit(rows, COLUMNS, answers, task=task)
    windows = Windows(profile, version=1, span=DAY, task=task, grouped_by=("site",))
    windows.add(rows, task.output(answers), answers=answers)
    tally = next(iter(windows.estimated_groups(START)["site"].values()))
    assert tally.scores(task).keys() == metrics


BINS = (CategoryBins(name="site", levels=("alpha", "beta")),)


def labelled(num_rows, *, seed, shrunk=1.0):
    """Tallies of rows of which beta's true logits are those of the answers times `shrunk`."""
    random = np.random.default_rng(seed)
    site = random.choice(["alpha", "beta"], num_rows)
    p = random.beta(1, 1, num_rows)
    logit = np.log(p / (1 - p)) * np.where(site == "beta", shrunk, 1.0)
    labels = (random.random(num_rows) < 1 / (1 + np.exp(-logit))).astype(float)
    return tallies(pa.table({"site": site}), BINS, labels=labels, answers=p)


def test_a_group_whose_answers_are_too_sure_shows_it_though_its_mean_is_right():
    found = {(one.group, one.measure): one for one in calibration_gaps(labelled(6_000, seed=1, shrunk=0.3))}
    sure, mean = found["beta", "right"], found["beta", "positive"]
    assert sure.difference > 2 * sure.half_width
    assert abs(mean.difference) < mean.half_width
    assert abs(found["alpha", "right"].difference) < found["alpha", "right"].half_width


def test_calibrated_groups_hardly_ever_show_a_gap():
    num_streams = 200
    shown = [
        any(abs(one.difference) > one.half_width for one in calibration_gaps(labelled(400, seed=seed)))
        for seed in range(num_streams)
    ]
    assert np.mean(shown) <= 0.10  # declared: 5% for each of two measures


def test_few_labelled_rows_tell_no_calibration():
    tally = GroupTally.of(np.ones(29), np.full(29, 0.2))
    assert list(calibration_gaps({"site": {"alpha": tally}})) == []


def test_of_classes_and_quantities_it_is_told_whether_answers_are_as_often_right_as_they_say():
    classes = task_of(Classes("kind", values=("a", "b")))
    half_right = GroupTally.of(np.arange(100) % 2.0, np.array([[0.9, 0.1]] * 100), task=classes)
    quantity = task_of(Quantity("minutes", coverage=0.9))
    all_inside = GroupTally.of(np.full(100, 5.0), np.array([[5.0, 1.0, 9.0, 2.0]] * 100), task=quantity)
    found = {one.group: one for one in calibration_gaps({"site": {"a": half_right, "b": all_inside}})}
    assert {one.measure for one in found.values()} == {"right"}
    assert found["a"].difference == pytest.approx(0.4)
    assert found["b"].difference == pytest.approx(-0.1)


def test_tallies_that_were_stored_before_they_knew_calibration_tell_none():
    old = groups.from_json({"site": {"alpha": [100, 40, 50, 30, 60.0, 50.0]}})
    assert old["site"]["alpha"].num_rows == 100
    assert list(calibration_gaps(old)) == []


def test_calibration_by_group_is_exported_over_all_cohorts_of_the_champion():
    score = CohortScore(
        num_predictions=900, num_labelled=900, score_by_metric={accuracy.name: 0.7}, groups=labelled(900, seed=9)
    )
    cohort = CohortMatured(since=START, until=START + DAY, score_by_version={1: score})
    told = {(one.name, *one.label_by_name.values()): one.value for one in of_groups([cohort, cohort], version=1)}
    (once,) = [one for one in calibration_gaps(score.groups) if (one.group, one.measure) == ("beta", "right")]
    assert told["group_calibration_gap", "site", "beta", "right"] == pytest.approx(once.difference)
    assert told["group_calibration_gap_half_width", "site", "beta", "right"] < once.half_width
