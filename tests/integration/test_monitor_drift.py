"""The monitor on a real lake and catalog, of columns that go together and of slices: what it says, asks and exports."""

import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.watch import Watch
from heliostat import Drift, JointDrift, SliceDrift, Watching
from heliostat.declared.loop import Loop
from heliostat.store.bundles import write_bundle
from heliostat.watch.profile import Profile
from tests.stage import START, set_up
from tests.toy_lake import answer, tell
from tests.toy_quick import workload

DAY = timedelta(days=1)
WINDOW_ROWS, REFERENCE_DAYS, CALM_DAYS, CHANGED_DAYS = 400, 20, 5, 10
LOOP = Loop(window=DAY)
WATCH = Watch(
    workload="toy",
    columns=tuple(workload.columns),
    triggers=(Drift(), JointDrift(), SliceDrift()),
    loop=LOOP,
    watching=Watching(together=("load_percent", "temperature_c", "site"), within=("site",), slices=("site",)),
)
INPUTS = {"clock": START.isoformat(), "scores": {"log_loss": 0.6}, "holdout_rows": 250}
INSTANT = pa.timestamp("us", tz="UTC")


def rows_of(num_days, *, seed, first_day, correlation=0.0, warmer_in_alpha=0.0):
    """Days of readings of which each column alone is as ever, but for the temperature in a tenth of them."""
    random = np.random.default_rng(seed)
    num_rows = num_days * WINDOW_ROWS
    load, other = random.normal(size=(2, num_rows))
    temperature = correlation * load + np.sqrt(1 - correlation**2) * other
    site = random.choice(["alpha", "beta", "gamma"], num_rows, p=[0.1, 0.3, 0.6])
    temperature[site == "alpha"] += warmer_in_alpha
    minutes = np.sort(random.integers(0, 1440, (num_days, WINDOW_ROWS)), axis=1)
    event_at = [
        START + (first_day + day) * DAY + timedelta(minutes=int(minute))
        for day in range(num_days)
        for minute in minutes[day]
    ]
    return pa.table(
        {
            "key": [f"{seed}-{number}" for number in range(num_rows)],
            "event_at": pa.array(event_at, INSTANT),
            "due_at": pa.array([at + DAY for at in event_at], INSTANT),
            "label": pa.array(random.integers(0, 2, num_rows).astype(float)),
            "label_known_at": pa.array([at + DAY / 2 for at in event_at], INSTANT),
            "load_percent": 50 + 10 * load,
            "temperature_c": 10 + 5 * temperature,
            "site": site,
        }
    )


@pytest.fixture(scope="module")
def profile():
    reference = rows_of(REFERENCE_DAYS, seed=0, first_day=-REFERENCE_DAYS)
    answers = np.full(reference.num_rows, 0.4)
    watching = WATCH.watching
    return Profile.fit(
        reference, workload.columns, answers, window=DAY, together=watching.together, within=watching.within
    )


@pytest.fixture
def stage(tmp_path, monkeypatch, profile):
    """A champion whose bundle holds the profile, and nothing else that the monitor does not read."""
    stage = set_up(tmp_path, monkeypatch, watch=WATCH)
    ref = write_bundle(stage.settings.bundles_uri, {"profile.json": json.dumps(profile.to_json()).encode()})
    lineage = {"num_rows": REFERENCE_DAYS * WINDOW_ROWS, "last_event_at": START.isoformat(), "as_of": START.isoformat()}
    named = {"bundle_uri": ref.uri, "bundle_hash": ref.hash, "lineage": lineage, "scores": {}}
    stage.catalog.register("toy", run_id="first", candidate="all", kind="network", by="admin", at=START, **named)
    stage.catalog.promote("toy", 1, reasons=(), inputs=INPUTS, by="admin", at=START)
    return stage


def observed(stage, rows, *, restarting=False):
    """What is said and asked while the days pass, with a restart before every look where that is asked."""
    answer(stage.lake, rows)
    tell(stage.lake, rows)
    for day in range(1, CALM_DAYS + CHANGED_DAYS + 1):
        if restarting:
            stage.restart()
        stage.monitor.observe(START + day * DAY)
    return stage.said("retrain_asked", "alert")


def played(**changed):
    calm = rows_of(CALM_DAYS, seed=1, first_day=0)
    return pa.concat_tables([calm, rows_of(CHANGED_DAYS, seed=2, first_day=CALM_DAYS, **changed)])


def figures(stage, name):
    """The samples of a metric by its labels, without the workload."""
    return {
        tuple(value for label, value in sorted(one.labels.items()) if label != "workload"): one.value
        for family in text_string_to_metric_families(stage.monitor.metrics())
        for one in family.samples
        if one.name == name
    }


@pytest.mark.parametrize("restarting", [False, True])
def test_columns_that_begin_to_go_together_are_said_asked_for_and_exported(stage, restarting):
    decisions = observed(stage, played(correlation=0.8), restarting=restarting)
    (asked,) = [said for kind, said in decisions if kind == "retrain_asked"]
    (alert,) = [said for kind, said in decisions if kind == "alert"]
    (condition,) = asked["evidence"]["conditions"]
    assert condition["trigger"] == "joint_drift"
    assert [*condition["change_by_pair"]] == ["load_percent and temperature_c"]
    assert alert["evidence"]["notice"] == "joint_drift"
    assert asked["onset_at"] == (START + CALM_DAYS * DAY).isoformat()
    change = figures(stage, "heliostat_drift_correlation_change")
    assert change["load_percent",] == change["temperature_c",] > 0.2 > change["site",]


@pytest.mark.parametrize("restarting", [False, True])
def test_a_shift_in_a_tenth_of_the_rows_is_said_asked_for_and_exported_by_slice(stage, restarting):
    decisions = observed(stage, played(warmer_in_alpha=1.5), restarting=restarting)
    asked = {one["trigger"]: said for kind, said in decisions for one in said["evidence"].get("conditions", ())}
    # Temperature goes together with the site otherwise, too; no column moved in all rows.
    assert {*asked} <= {"slice_drift", "joint_drift"}
    (condition,) = [one for one in asked["slice_drift"]["evidence"]["conditions"] if one["trigger"] == "slice_drift"]
    assert [*condition["excess_psi_by_slice"]] == ["temperature_c in site=alpha"]
    notices = [said["evidence"]["notice"] for kind, said in decisions if kind == "alert"]
    assert notices.count("slice_drift") == 1
    assert asked["slice_drift"]["onset_at"] == (START + CALM_DAYS * DAY).isoformat()
    index = figures(stage, "heliostat_slice_drift_population_stability_index")
    assert index["temperature_c", "alpha", "site"] > 0.25
    assert max(value for labels, value in index.items() if labels[0] != "temperature_c") < 0.25
    assert figures(stage, "heliostat_drift_population_stability_index")["temperature_c",] < 0.25


def test_calm_rows_are_neither_joint_drift_nor_drift_in_a_slice(stage):
    assert observed(stage, played()) == []


def test_what_became_of_labels_is_exported_once_their_days_have_settled(stage):
    rows = played()
    observed(stage, rows)
    # Fifteen days are over, and on seven of them all labels fell due a week ago.
    assert figures(stage, "heliostat_labels_total")["in_time",] == 7 * WINDOW_ROWS
    tell(stage.lake, rows.slice(0, 5), sequence=2)
    stage.restart()
    stage.monitor.observe(START + 17 * DAY)
    again = figures(stage, "heliostat_labels_total")
    assert (again["in_time",], again["too_old",], again["repeated",]) == (9 * WINDOW_ROWS, 5, 0)
    newest = max(rows["label_known_at"].slice(0, 5).to_pylist()).timestamp()  # of those told while it looked
    assert figures(stage, "heliostat_label_newest_known_timestamp_seconds")[()] == newest


@pytest.mark.parametrize("restarting", [False, True])
def test_quality_is_estimated_by_slice_before_labels_come_and_calibration_told_once_they_do(stage, restarting):
    rows = played()
    answer(stage.lake, rows, probability=0.7)
    stage.monitor.observe(START + DAY)
    estimated = figures(stage, "heliostat_group_estimated_score")
    assert estimated["site", "alpha", "accuracy"] == pytest.approx(0.7)
    assert sum(figures(stage, "heliostat_group_window_rows").values()) == WINDOW_ROWS
    assert figures(stage, "heliostat_group_calibration_gap") == {}

    tell(stage.lake, rows)
    for day in range(2, 6):
        if restarting:
            stage.restart()
        stage.monitor.observe(START + day * DAY)
    gap = figures(stage, "heliostat_group_calibration_gap")
    half_width = figures(stage, "heliostat_group_calibration_gap_half_width")
    assert {labels[1] for labels in gap} == {"alpha", "beta", "gamma"}
    for labels, value in gap.items():  # half of the labels are 1, and 0.7 was said of every row
        assert value == pytest.approx(0.2, abs=1.5 * half_width[labels])
        assert value > half_width[labels]
