"""Labels that cannot be counted: the loop goes on without their counts, says so, and has them all in the end."""

import re
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable

from heliostat.store.lake import Lake
from tests.stage import START, set_up
from tests.toy_lake import answer, rows_of, tell

STEP = timedelta(days=4)
CLOCKS = [START + number * STEP for number in range(1, 6)]
ROWS = rows_of(since=START, until=CLOCKS[-1])
OUTCOME = re.compile(r"^heliostat_labels_total\{.*$", re.MULTILINE)


def staged(home, monkeypatch):
    home.mkdir()
    stage = set_up(home, monkeypatch, lake=Lake(str(home / "lake")))
    answer(stage.lake, ROWS)
    stage.monitor.observe(CLOCKS[0])
    tell(stage.lake, ROWS)
    return stage


def log_that_counting_needs(lake):
    """The log of the labels' first version: a reader of the whole table goes on from the checkpoint without it."""
    table = DeltaTable(lake.table_uri("toy", "labels"))
    table.create_checkpoint()
    return Path(lake.table_uri("toy", "labels")) / "_delta_log" / f"{0:020}.json"


def test_labels_that_cannot_be_counted_stop_the_counting_alone_and_are_counted_later(tmp_path, monkeypatch):
    steady = staged(tmp_path / "steady", monkeypatch)
    for clock in CLOCKS[1:]:
        steady.monitor.observe(clock)
    expected = OUTCOME.findall(steady.monitor.metrics())
    assert any(not line.endswith(" 0.0") for line in expected)

    stage = staged(tmp_path / "broken", monkeypatch)
    log = log_that_counting_needs(stage.lake)
    kept = log.rename(log.with_suffix(".away"))
    assert [stage.monitor.observe(clock) for clock in CLOCKS[1:3]] == CLOCKS[1:3]
    assert stage.monitor.status()["matured_until"] > CLOCKS[1]
    assert "Invalid table version" in stage.monitor.status()["last_error"]["detail"]
    assert 'heliostat_label_counting_up{workload="toy"} 0.0' in stage.monitor.metrics()

    kept.rename(log)
    for clock in CLOCKS[2:]:
        stage.monitor.observe(clock)
        assert stage.monitor.status()["last_error"] is None
    assert 'heliostat_label_counting_up{workload="toy"} 1.0' in stage.monitor.metrics()
    assert OUTCOME.findall(stage.monitor.metrics()) == expected
