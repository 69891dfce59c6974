from datetime import UTC, datetime, timedelta

import pytest

from heliostat.intake import take
from heliostat.traffic import DAY, Traffic, floor
from tests import toy

START = datetime(2024, 2, 1, tzinfo=UTC)
FAR = datetime(2200, 1, 1, tzinfo=UTC)
ROWS = take(toy.workload, toy.Machines(rows_per_part=300).read("2024-02"), since=None, until=FAR).good


@pytest.fixture
def hours():
    traffic = Traffic(ROWS)
    days = (traffic.ends_at - START) // DAY
    return [hour for day in range(days) for hour in traffic.day(START + day * DAY)]


def test_every_row_is_asked_once_in_order_of_time(hours):
    asked = [row for hour in hours for request in hour.requests for row in request.rows]
    assert sorted(row["key"] for row in asked) == sorted(ROWS["key"].to_pylist())
    assert [row["event_at"] for row in asked] == sorted(row["event_at"] for row in asked)


def test_a_request_holds_the_rows_of_one_minute(hours):
    for hour in hours:
        for request in hour.requests:
            assert {floor(row["event_at"], timedelta(minutes=1)) for row in request.rows} == {request.at}


def test_no_row_carries_its_label(hours):
    names = {name for hour in hours for request in hour.requests for row in request.rows for name in row}
    assert names.isdisjoint({"label", "label_known_at"})


def test_every_known_label_is_told_once_and_never_before_its_time(hours):
    told = [label for hour in hours for label in hour.labels]
    expected = [row["key"] for row in ROWS.to_pylist() if row["label"] is not None]
    assert sorted(label.key for label in told) == sorted(expected)
    for hour in hours:
        for label in hour.labels:
            assert label.at < hour.until


def test_a_label_follows_its_row(hours):
    seen = set()
    for hour in hours:
        seen |= {row["key"] for request in hour.requests for row in request.rows}
        assert all(label.key in seen for label in hour.labels)
