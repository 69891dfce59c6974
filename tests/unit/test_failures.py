"""Requests that failed, counted by replicas and added up by the monitor: each once, whatever is told twice."""

import asyncio

import pytest

from heliostat.serving.problem import UnavailableError
from heliostat.watch.exposition import exposition
from heliostat.watch.failures import NUM_KEPT, FailureCounts
from heliostat.watch.followed import Followed
from serve_apps import failures
from serve_apps.failures import Failures


def test_totals_of_replicas_add_up_and_one_told_twice_or_late_counts_once():
    counts = FailureCounts().heard("a", {"422": 3}).heard("b", {"422": 1, "503": 2})
    assert counts.num_by_status == {"422": 4, "503": 2}
    assert counts.heard("a", {"422": 3}) == counts == counts.heard("a", {"422": 2})
    assert counts.heard("a", {"422": 5, "401": 1}).num_by_status == {"401": 1, "422": 6, "503": 2}


def test_replicas_that_came_and_went_stay_counted_in_a_state_that_does_not_grow():
    counts = FailureCounts()
    for number in range(500):
        counts = counts.heard(f"replica {number}", {"500": 2})
    assert counts.num_by_status == {"500": 1000}
    assert len(counts.by_replica) == NUM_KEPT
    assert counts.heard("replica 499", {"500": 3}).num_by_status == {"500": 1001}


def test_counts_survive_storage_in_their_order():
    counts = FailureCounts(of_gone={"500": 1}).heard("b", {"422": 3}).heard("a", {"503": 1})
    again = Followed.from_json(Followed(failures=counts).to_json()).failures
    assert again == counts
    assert list(again.by_replica) == ["b", "a"]


def test_a_state_from_before_failures_were_counted_begins_with_none():
    stored = Followed().to_json()
    del stored["failures"]
    assert Followed.from_json(stored).failures.num_by_status == {}


def test_failed_requests_are_a_counter_by_status():
    text = exposition("toy", num_failed_by_status={"422": 4, "503": 2})
    assert 'heliostat_failed_requests_total{status="422",workload="toy"} 4.0' in text


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(failures, "TELL_AFTER_S", 0.01)


def test_a_replica_tells_what_failed_meanwhile_in_one_go(quick):
    told = []

    async def tell(replica, num_by_status):
        told.append((replica, num_by_status))

    async def scenario():
        counted = Failures()
        counted.told_to(tell)
        for status in (422, 422, 503):
            counted.add(status)
        assert told == []
        await asyncio.sleep(0.05)
        counted.add(500)
        await asyncio.sleep(0.05)

    asyncio.run(scenario())
    assert [num for _, num in told] == [{"422": 2, "503": 1}, {"422": 2, "500": 1, "503": 1}]
    assert len({replica for replica, _ in told}) == 1


def test_a_monitor_that_was_away_is_told_again_without_another_failure(quick):
    tries = []

    async def tell(_, num_by_status):
        tries.append(num_by_status)
        if len(tries) < 3:
            raise UnavailableError("The monitor is away.")

    async def scenario():
        counted = Failures()
        counted.told_to(tell)
        counted.add(401)
        await asyncio.sleep(0.3)

    asyncio.run(scenario())
    assert tries == [{"401": 1}] * 3


def test_a_replica_that_closed_tells_nothing_more(quick):
    told = []

    async def tell(*said):
        told.append(said)

    async def scenario():
        counted = Failures()
        counted.told_to(tell)
        counted.add(401)
        counted.close()
        await asyncio.sleep(0.05)

    asyncio.run(scenario())
    assert told == []
