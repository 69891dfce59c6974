"""The monitor on a real lake and catalog: what it decides follows from tables and clock, whatever happens to it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from actors.watch import Watch
from heliostat import Age, Decay, Drift, Growth
from heliostat.errors import CatalogError, FencedError
from heliostat.metrics import log_loss
from heliostat.store.lake import Lake
from tests.stage import START, set_up
from tests.toy_lake import answer, rows_of, tell
from tests.toy_quick import workload

DAY = timedelta(days=1)
STEP = 4 * DAY
CLOCKS = [START + number * STEP for number in range(1, 8)]
ROWS = rows_of(since=START, until=CLOCKS[-1])
WATCH = Watch(
    workload="toy",
    columns=tuple(workload.columns),
    triggers=(Drift(psi=0.5, windows=2), Decay(log_loss, margin=0.03, min_rows=200), Age(15 * DAY), Growth(0.2)),
    loop=workload.loop,
)
INPUTS = {"clock": START.isoformat(), "scores": {"log_loss": 0.6}, "holdout_rows": 250}
DECISIONS = ("retrain_asked", "alert")


def fill(lake, rows, *, sequence=1):
    # Surer than it should be, so that its loss is seen to be worse than on the hold-out.
    answer(lake, rows, sequence=sequence, probability=np.where(np.arange(rows.num_rows) % 2, 0.1, 0.9))
    tell(lake, rows, sequence=sequence)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(str(tmp_path_factory.mktemp("monitored")))
    fill(lake, ROWS)
    return lake


def stage_with(home, patch, *, first_run, lake):
    stage = set_up(home, patch, watch=WATCH, lake=lake)
    (home / "lake").symlink_to(lake.uri)
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 1, reasons=(), inputs=INPUTS, by="admin", at=START)
    return stage


@pytest.fixture
def stage_on(tmp_path, monkeypatch, first_run):
    return lambda lake: stage_with(tmp_path, monkeypatch, first_run=first_run, lake=lake)


def ended(stage, clock):
    """A turn that changed nothing: what still holds is said again."""
    stage.catalog.append("turn_ended", "toy", {"at": clock.isoformat(), "outcome": "held"}, by="steward/toy", at=clock)


def watched(stage, before_each=lambda stage: None, clocks=CLOCKS):
    for number, clock in enumerate(clocks):
        before_each(stage)
        assert stage.monitor.observe(clock) == clock
        if number == 4:
            ended(stage, clock)
    return without_table_version(stage.said(*DECISIONS))


def without_table_version(decisions):
    return [(kind, {name: value for name, value in said.items() if name != "tables"}) for kind, said in decisions]


@pytest.fixture(scope="module")
def steady_stage(tmp_path_factory, first_run, lake):
    with pytest.MonkeyPatch.context() as patch:
        stage = stage_with(tmp_path_factory.mktemp("steady"), patch, first_run=first_run, lake=lake)
        watched(stage)
        return stage


@pytest.fixture
def steady(steady_stage):
    return without_table_version(steady_stage.said(*DECISIONS))


def triggers_of(decisions):
    return {each["trigger"] for kind, said in decisions for each in said["evidence"].get("conditions", [])}


def test_a_restart_before_every_observation_changes_no_decision(stage_on, lake, steady):
    assert triggers_of(steady) >= {"age", "growth", "decay"}  # else nothing would be shown
    assert watched(stage_on(lake), before_each=lambda stage: stage.restart()) == steady


def test_rows_that_say_the_last_day_of_all_dates_stop_no_observation(stage_on, tmp_path, steady):
    stage = stage_on(Lake(str(tmp_path / "with-sentinels")))
    never = pa.array([datetime(9999, 12, 31, 23, tzinfo=UTC)] * 3, ROWS["event_at"].type)
    said = ROWS.slice(0, 3)
    for name in ("event_at", "due_at"):
        said = said.set_column(said.column_names.index(name), name, never)
    answer(stage.lake, said, sequence=1)
    stage.monitor.observe(START)
    fill(stage.lake, ROWS, sequence=2)
    assert watched(stage) == steady


def test_a_second_look_at_the_same_clock_decides_nothing_new(stage_on, lake):
    stage = stage_on(lake)
    for clock in CLOCKS[:5]:
        stage.monitor.observe(clock)
    once, stored = stage.said(*DECISIONS), stage.catalog.get_state("toy", "monitor")
    assert once
    stage.monitor.observe(CLOCKS[4])
    stage.restart()
    stage.monitor.observe(CLOCKS[4])
    assert stage.said(*DECISIONS) == once
    assert stage.catalog.get_state("toy", "monitor") == stored


def test_what_could_not_be_stored_is_decided_again(stage_on, lake, steady, monkeypatch):
    stage = stage_on(lake)
    put_state = stage.catalog.put_state
    num_failed = 0

    def failing_once_an_observation(*args, **options):
        nonlocal num_failed
        if num_failed % 2 == 0:
            num_failed += 1
            raise CatalogError("The disk is full.")
        num_failed += 1
        return put_state(*args, **options)

    monkeypatch.setattr(stage.catalog, "put_state", failing_once_an_observation)

    def fail(stage):
        clock = CLOCKS[num_failed // 2]
        with pytest.raises(CatalogError):
            stage.monitor.observe(clock)

    found = watched(stage, before_each=fail, clocks=CLOCKS[:5])
    assert found
    assert found == [one for one in steady if one[1]["detected_at"] <= CLOCKS[4].isoformat()]


def test_where_a_commit_ends_changes_no_decision(stage_on, tmp_path, steady):
    stage = stage_on(Lake(str(tmp_path / "growing")))  # a link from the stage's home leads there
    at = np.array([when.timestamp() for when in ROWS["event_at"].to_pylist()])
    filled = iter(enumerate(CLOCKS, start=1))

    def commit(stage):
        sequence, clock = next(filled)
        inside = (at >= (clock - STEP).timestamp()) & (at < clock.timestamp())
        fill_as_it_came(stage.lake, inside, sequence=sequence)

    assert watched(stage, before_each=commit) == steady


def fill_as_it_came(lake, inside, *, sequence):
    probability = np.where(np.arange(ROWS.num_rows) % 2, 0.1, 0.9)[inside]
    rows = ROWS.filter(pa.array(inside))
    answer(lake, rows, sequence=sequence, probability=probability)
    tell(lake, rows, sequence=sequence)


def test_every_decision_says_why_since_when_and_on_which_table(steady_stage, lake):
    asked = [said for kind, said in steady_stage.said(*DECISIONS) if kind == "retrain_asked"]
    assert asked
    for said in asked:
        assert said["reasons"]
        assert said["onset_at"] <= said["detected_at"]
        assert said["tables"] == {"predictions": lake.version("toy", "predictions")}


def test_before_the_first_champion_nothing_is_decided_and_the_clock_still_moves(tmp_path, monkeypatch):
    stage = set_up(tmp_path, monkeypatch, watch=WATCH)
    assert stage.monitor.observe(CLOCKS[0]) == CLOCKS[0]
    assert stage.said(*DECISIONS) == []
    assert stage.monitor.status()["watched_version"] is None


def test_a_champion_by_rollback_is_watched_with_the_score_it_was_promoted_on(stage_on, lake):
    stage = stage_on(lake)
    stage.monitor.observe(CLOCKS[0])
    other = {**INPUTS, "clock": CLOCKS[1].isoformat(), "scores": {"log_loss": 0.1}}
    stage.catalog.promote("toy", 3, reasons=(), inputs=other, by="admin", at=CLOCKS[1])
    stage.monitor.observe(CLOCKS[1])
    stage.catalog.rollback("toy", reasons=(), inputs={"clock": CLOCKS[2].isoformat()}, by="admin", at=CLOCKS[2])
    stage.monitor.observe(CLOCKS[2])
    champion = stage.catalog.get_state("toy", "monitor")["state"]["champion"]
    assert (champion["version"], champion["at"]) == (1, CLOCKS[2].isoformat())
    assert champion["reference_by_metric"]["log_loss"][0] == 0.6
    assert [said for kind, said in stage.said("alert") if "hold-out" in said["reason"]] == []


def test_the_age_of_a_champion_that_returned_counts_from_the_rows_that_brought_it_back(stage_on, lake):
    stage = stage_on(lake)
    window = [(CLOCKS[1] - timedelta(days=2)).isoformat(), CLOCKS[1].isoformat()]
    back = {**INPUTS, "clock": CLOCKS[1].isoformat(), "is_returned": True, "inputs": {"window": window}}
    stage.catalog.promote("toy", 3, reasons=(), inputs=back, by="admin", at=CLOCKS[1])
    stage.monitor.observe(CLOCKS[1])
    assert stage.catalog.get_state("toy", "monitor")["state"]["champion"]["trained_until"] == window[0]


def test_a_copy_that_was_cut_off_decides_nothing(stage_on, lake):
    stage = stage_on(lake)
    cut_off = stage.monitor
    cut_off.observe(CLOCKS[0])
    stage.restart()
    stage.monitor.observe(CLOCKS[1])
    before = stage.everything()
    with pytest.raises(FencedError):
        cut_off.observe(CLOCKS[2])
    assert stage.everything() == before


def test_the_figures_go_on_where_they_were_after_a_restart(stage_on, lake):
    stage = stage_on(lake)
    for clock in CLOCKS[:5]:
        stage.monitor.observe(clock)
    stage.monitor.hear_failures("replica a", {"422": 3, "503": 1})
    stage.monitor.hear_failures("replica b", {"422": 2})
    stage.monitor.hear_failures("replica b", {"422": 2})
    stage.monitor.observe(CLOCKS[4])
    before = stage.monitor.metrics()
    assert 'heliostat_failed_requests_total{status="422",workload="toy"} 5.0' in before
    assert 'heliostat_failed_requests_total{status="503",workload="toy"} 1.0' in before
    assert "heliostat_drift_population_stability_index{" in before
    assert 'heliostat_monitor_decisions_total{kind="retrain_asked",workload="toy"} 0' not in before
    stage.restart()
    assert "heliostat_monitor_up" in stage.monitor.metrics()
    stage.monitor.observe(CLOCKS[4])
    assert stage.monitor.metrics() == before
