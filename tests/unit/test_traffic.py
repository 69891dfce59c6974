from datetime import UTC, datetime, timedelta

import pytest

from heliostat.intake import take
from heliostat.traffic import DAY, Traffic, floor
from tests import toy

START = datetime(2024, 2, 1, tzinfo=UTC)
FAR = datetime(2200, 1, 1, tzinfo=UTC)
ROWS = take(toy.workload, toy.Machines(rows_per_part=300).read("2024-02"), since=None, until=FAR).good


@pytest.fixture
def spans():
    traffic = Traffic(ROWS)
    days = (traffic.ends_at - START) // DAY
    return [span for day in range(days) for span in traffic.day(START + day * DAY)]


def test_every_row_is_asked_once_in_order_of_time(spans):
    asked = [row for span in spans for request in span.requests for row in request.rows]
    assert sorted(row["key"] for row in asked) == sorted(ROWS["key"].to_pylist())
    assert [row["event_at"] for row in asked] == sorted(row["event_at"] for row in asked)


def test_a_request_holds_the_rows_of_one_minute(spans):
    for span in spans:
        for request in span.requests:
            assert {floor(row["event_at"], timedelta(minutes=1)) for row in request.rows} == {request.at}


def test_no_row_carries_its_label(spans):
    names = {name for span in spans for request in span.requests for row in request.rows for name in row}
    assert names.isdisjoint({"label", "label_known_at"})


def test_every_known_label_is_told_once_and_never_before_its_time(spans):
    told = [label for span in spans for label in span.labels]
    expected = [row["key"] for row in ROWS.to_pylist() if row["label"] is not None]
    assert sorted(label.key for label in told) == sorted(expected)
    for span in spans:
        for label in span.labels:
            assert label.at < span.until


def test_a_label_follows_its_row(spans):
    seen = set()
    for span in spans:
        seen |= {row["key"] for request in span.requests for row in request.rows}
        assert all(label.key in seen for label in span.labels)
