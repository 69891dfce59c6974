"""The numbers at the end of a turn, as values, for people and for Prometheus."""

from datetime import UTC, datetime, timedelta

import pytest

from heliostat.govern.commands import TurnRecord
from heliostat.govern.numbers import numbers, quality_lost, retrained_at
from heliostat.watch.exposition import exposition
from heliostat.watch.turns import measured
from jobs._turns_text import duration, told

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHOLE = TurnRecord(
    turn=3,
    reasons=("decay",),
    onset_at=START,
    changed_at=START,
    detected_at=START + 3 * DAY,
    started_at=START + 4 * DAY,
    retrained_at=START + 4 * DAY + HOUR,
    gated_at=START + 4 * DAY + HOUR,
    shadow_at=START + 4 * DAY + HOUR,
    canary_at=START + 5 * DAY + HOUR,
    full_at=START + 6 * DAY + HOUR,
    ended_at=START + 6 * DAY + HOUR,
    outcome="promoted",
    gain=0.012,
    gap=0.05,
    quality_lost=301.5,
    num_labels=12_345,
    num_fits=4,
    cpu_s=61.4,
)


def test_every_step_is_counted_from_the_one_before():
    found = numbers(WHOLE)
    assert found["seconds_to"] == {
        "detected": 3 * 86_400,
        "decided": 86_400,
        "retrained": 3600,
        "gated": 0,
        "shadow": 0,
        "canary": 86_400,
        "full": 86_400,
    }
    assert found["seconds"] == sum(found["seconds_to"].values())
    assert (found["labels"], found["fits"], found["cpu_s"]) == (12_345, 4, 61.4)


def test_without_a_change_the_turn_begins_where_it_was_detected():
    found = numbers(
        TurnRecord(turn=1, reasons=("age",), onset_at=START, detected_at=START + DAY, started_at=START + DAY)
    )
    assert found["began_at"] == (START + DAY).isoformat()
    assert list(found["seconds_to"]) == ["decided"]


def test_the_quality_lost_is_the_gap_over_the_rows_from_onset_to_end():
    assert quality_lost(WHOLE, rows_per_day=1000.0) == pytest.approx(0.05 * 1000 * (6 + 1 / 24))
    assert quality_lost(WHOLE, rows_per_day=None) is None


def test_people_read_two_lines_with_units():
    first, second = told(numbers(WHOLE))
    assert first.startswith("turn 3 promoted, from 2024-03-01T00:00: detected after 3.0 d → decided after 1.0 d →")
    assert second == "  gained +0.0120 a row, lost 301.5 in loss meanwhile, 12,345 labels, 4 fits, 61.4 CPU-seconds"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0 s"), (59, "59.0 s"), (90, "1.5 min"), (7200, "2.0 h")])
def test_durations_have_the_unit_that_fits(seconds, text):
    assert duration(seconds) == text


def test_prometheus_gets_the_last_turn_and_how_many_ended_how():
    turns = [{"outcome": "held"}, {"outcome": "promoted", "numbers": numbers(WHOLE)}]
    text = exposition("toy", measured=measured(turns))
    assert 'heliostat_turns_ended{outcome="promoted",workload="toy"} 1.0' in text
    assert 'heliostat_turn_step_seconds{step="detected",workload="toy"} 259200.0' in text
    assert 'heliostat_turn_run_cpu_seconds{workload="toy"} 61.4' in text
    assert measured([]) == []


def test_on_the_walls_clock_fitting_and_judging_are_told_apart_and_a_replays_stands_still():
    fitted_at = (START + HOUR).isoformat()
    assert retrained_at(fitted_at, clock=START + 2 * HOUR) == START + HOUR
    assert retrained_at(fitted_at, clock=START - 365 * DAY) == START - 365 * DAY
    assert retrained_at(None, clock=START) == START
