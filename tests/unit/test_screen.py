"""Labels that nobody should learn from, told from a world that changed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heliostat.govern.quarantine import SUSPECTED, quarantined
from heliostat.govern.screen import Told, suspicions

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def told(source, day, rate, *, num=200, expected=0.05):
    since = START + day * DAY
    return Told(
        source=source,
        since=since,
        until=since + DAY,
        num_confident=num,
        num_contradicting=round(rate * num),
        expected=expected,
    )


def calm(source, days, rate=0.05):
    return [told(source, day, rate) for day in range(days)]


def test_a_source_that_contradicts_alone_is_shut_out_from_that_window_on():
    found = suspicions([*calm("a", 10), *calm("b", 11), told("a", 10, 0.5)])
    [one] = found
    assert (one.source, one.since, one.is_shut_out) == ("a", START + 10 * DAY, True)
    assert "contradict 50.0% of 200 confident answers, usual are 5.0%, of others 5.0%" in one.reason
    [span] = quarantined([(SUSPECTED, one.to_json())])
    assert (span.source, span.since, span.until) == ("a", START + 10 * DAY, START + 11 * DAY)


def test_a_changed_world_shuts_nobody_out():
    found = suspicions([*calm("a", 10), *calm("b", 10), told("a", 10, 0.6), told("b", 10, 0.55)])
    assert [one.is_shut_out for one in found] == [False, False]
    assert quarantined([(SUSPECTED, one.to_json()) for one in found]) == []


def test_a_source_that_tells_alone_is_told_but_not_shut_out():
    [one] = suspicions([*calm("a", 10), told("a", 10, 0.7)])
    assert (one.is_shut_out, one.others) == (False, None)
    assert "no other source told labels then: nothing is left out for that" in one.reason


@pytest.mark.parametrize(("limit", "is_shut_out"), [(0.6, True), (0.7, False), (None, False)])
def test_a_source_that_tells_alone_is_shut_out_beyond_a_declared_limit_alone(limit, is_shut_out):
    [one] = suspicions([*calm("a", 10), told("a", 10, 0.7)], max_contradicted=limit)
    assert one.is_shut_out == is_shut_out
    assert ("Loop(max_contradicted=0.6) is the limit: its labels are not learned from" in one.reason) == is_shut_out


def test_a_declared_limit_shuts_nobody_out_where_all_sources_contradict_alike():
    found = suspicions([*calm("a", 10), *calm("b", 10), told("a", 10, 0.7), told("b", 10, 0.7)], max_contradicted=0.5)
    assert [one.is_shut_out for one in found] == [False, False]


def test_a_usual_rate_above_the_limit_shuts_nobody_out():
    usual = [told("a", day, 0.3, expected=0.3) for day in range(10)]
    assert suspicions(usual, max_contradicted=0.2) == []


def test_a_bad_window_does_not_become_what_is_usual():
    found = suspicions([*calm("a", 5), *calm("b", 12), *[told("a", day, 0.5) for day in range(5, 12)]])
    assert [one.since for one in found] == [START + day * DAY for day in range(5, 12)]
    assert {one.usual for one in found} == {0.05}


def test_a_source_that_always_contradicted_as_much_is_not_suspected():
    assert suspicions([*calm("noisy", 10, rate=0.3), *calm("b", 11), told("noisy", 10, 0.33)]) != []
    later = suspicions([*calm("noisy", 10, rate=0.12), *calm("b", 11), told("noisy", 10, 0.16)])
    assert later == []


def test_of_a_few_labels_nothing_is_said():
    assert suspicions([*calm("a", 10), *calm("b", 11), told("a", 10, 1.0, num=9)]) == []


def test_labels_as_the_champion_expects_them_are_never_suspected():
    random = np.random.default_rng(5)
    windows = [told(source, day, random.binomial(200, 0.05) / 200) for source in "abcd" for day in range(90)]
    assert suspicions(windows) == []
