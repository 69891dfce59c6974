"""Whose labels are not learned from: suspicions and what people decided, in the order of the journal."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from heliostat.cohorts import without
from heliostat.govern.quarantine import (
    BEGINNING,
    EVER,
    KEPT_OUT,
    RELEASED,
    SUSPECTED,
    is_new,
    may_have_taught,
    quarantined,
)

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def said(kind, source, since=BEGINNING, until=EVER, *, is_shut_out=True):
    payload = {"source": source, "since": since.isoformat(), "until": until.isoformat(), "reason": kind}
    return kind, {**payload, "is_shut_out": is_shut_out}


def suspected(source, day, **given):
    return said(SUSPECTED, source, START + day * DAY, START + (day + 1) * DAY, **given)


def spans(*rows):
    return [(span.source, (span.since - START).days, (span.until - START).days) for span in quarantined(rows)]


def test_only_what_was_shut_out_is_left_out():
    assert spans(suspected("a", 1), suspected("b", 1, is_shut_out=False), ("turn_ended", {})) == [("a", 1, 2)]


def test_a_released_source_counts_again_and_no_other_does():
    assert spans(suspected("a", 1), suspected("b", 1), said(RELEASED, "a")) == [("b", 1, 2)]


def test_a_release_is_of_its_span_alone():
    rows = [suspected("a", day) for day in range(4)]
    assert spans(*rows, said(RELEASED, "a", START + DAY, START + 3 * DAY)) == [("a", 0, 1), ("a", 3, 4)]


def test_what_is_suspected_after_a_release_is_left_out():
    assert spans(suspected("a", 1), said(RELEASED, "a"), suspected("a", 5)) == [("a", 5, 6)]


def test_a_source_that_is_kept_out_stays_out_until_it_is_released():
    kept = said(KEPT_OUT, "a", START)
    [span] = quarantined([kept])
    assert (span.since, span.until) == (START, EVER)
    assert quarantined([kept, said(RELEASED, "a")]) == []
    assert spans(kept, said(RELEASED, "a", START + 5 * DAY)) == [("a", 0, 5)]


def test_a_span_in_the_middle_may_be_released():
    rows = [said(KEPT_OUT, "a", START, START + 9 * DAY), said(RELEASED, "a", START + 2 * DAY, START + 3 * DAY)]
    assert spans(*rows) == [("a", 0, 2), ("a", 3, 9)]


def test_a_source_that_seemed_alone_is_shut_out_once_the_others_of_its_window_were_heard():
    alone, beside = suspected("a", 1, is_shut_out=False), suspected("a", 1)
    assert is_new(alone[1], [suspected("a", 2), suspected("b", 1)])
    assert not is_new(alone[1], [alone])
    assert is_new(beside[1], [alone])
    assert not is_new(beside[1], [alone, beside])
    assert spans(alone, beside) == [("a", 1, 2)]


def test_what_people_released_is_not_suspected_again():
    alone, beside = suspected("a", 1, is_shut_out=False), suspected("a", 1)
    released = said(RELEASED, "a", START, START + 9 * DAY)
    assert not is_new(beside[1], [beside, released])
    assert not is_new(beside[1], [alone, released])
    assert is_new(beside[1], [released])
    assert is_new(beside[1], [alone, said(RELEASED, "a", START + 5 * DAY)])


def test_one_span_told_twice_is_left_out_once():
    assert spans(suspected("a", 1), suspected("a", 1)) == [("a", 1, 2)]


def test_labels_are_left_out_of_every_span_of_their_source_and_of_no_other():
    random = np.random.default_rng(3)
    arrived = [START + timedelta(hours=int(hour)) for hour in random.integers(0, 500, 300)]
    sources = random.choice(["a", "b", None], 300).tolist()
    labels = pa.table({"source": sources, "received_at": pa.array(arrived, pa.timestamp("us", tz="UTC"))})
    begins = [START + timedelta(hours=int(hour)) for hour in random.integers(0, 500, 12)]
    spans = [
        {"source": source, "since": since.isoformat(), "until": (since + timedelta(hours=hours)).isoformat()}
        for since, source, hours in zip(begins, 4 * ["a", "b", "unknown"], (40, 3, 9, 100, 1, 5) * 2, strict=True)
    ]
    kept = without(labels, spans).to_pylist()

    def is_out(row):
        told = [span for span in spans if span["source"] == (row["source"] or "unknown")]
        return any(span["since"] <= row["received_at"].isoformat() < span["until"] for span in told)

    assert kept == [row for row in labels.to_pylist() if not is_out(row)]
    assert 0 < len(kept) < 300
    assert without(labels, []) is labels
    ever = [{"source": "a", "since": BEGINNING.isoformat(), "until": EVER.isoformat()}]
    assert "a" not in without(labels, ever)["source"].to_pylist()


def test_a_version_may_have_learned_from_every_span_that_it_was_not_told_to_leave_out():
    (first, second) = (span.to_json() for span in quarantined([said(KEPT_OUT, "a"), said(KEPT_OUT, "b")]))
    assert may_have_taught([first], {})
    assert may_have_taught([first, second], {"shut_out": [first]})
    assert not may_have_taught([first], {"shut_out": [first, second]})
    assert not may_have_taught([], {})
