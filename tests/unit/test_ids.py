"""Prediction ids: repeatable, unique, and with their day inside."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from heliostat.ids import event_time, prediction_id, prediction_ids, scoped

AT = datetime(2013, 3, 10, 6, 59, 59, 999000, tzinfo=UTC)


def test_the_same_request_and_row_give_the_same_id():
    assert prediction_id("r", 1, event_at=AT) == prediction_id("r", 1, event_at=AT)


def test_other_requests_and_rows_give_other_ids():
    ids = {prediction_id(f"r{n}", row, event_at=AT) for n in range(200) for row in range(50)}
    assert len(ids) == 10_000
    assert prediction_id("a/1", 2, event_at=AT) != prediction_id("a", 12, event_at=AT)


def test_an_id_is_a_uuid_of_version_7():
    parsed = uuid.UUID(prediction_id("r", 0, event_at=AT))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize("seed", range(20))
def test_the_event_time_is_inside_to_the_millisecond(seed):
    random = np.random.default_rng(seed)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(random.integers(0, 4_000_000_000_000_000)))
    found = event_time(prediction_id(str(seed), seed, event_at=at))
    assert timedelta(0) <= at - found < timedelta(milliseconds=1)


def test_the_zone_of_the_instant_does_not_matter():
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    assert prediction_id("r", 0, event_at=elsewhere) == prediction_id("r", 0, event_at=AT)


def test_ids_sort_by_event_time():
    ids = [prediction_id("r", 0, event_at=AT + timedelta(seconds=n)) for n in range(50)]
    assert ids == sorted(ids)


@pytest.mark.parametrize("wrong", ["", "nonsense", str(uuid.UUID(int=0)), "6ba7b810-9dad-41d1-80b4-00c04fd430c8"])
def test_what_is_not_a_prediction_id_is_refused(wrong):
    with pytest.raises(ValueError, match=r"UUID"):
        event_time(wrong)


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(TypeError):
        prediction_id("r", 0, event_at=datetime(2013, 1, 1))  # noqa: DTZ001


def test_ids_made_together_are_those_made_one_by_one():
    event_at = [AT, AT, AT + timedelta(seconds=1), AT.astimezone(timezone(timedelta(hours=-5)))] * 30
    one_by_one = [prediction_id("caller/r", row, event_at=at) for row, at in enumerate(event_at)]
    assert prediction_ids("caller/r", event_at) == one_by_one
    assert prediction_ids("caller/r", event_at[2:], first_row=2) == one_by_one[2:]
    assert len({uuid.UUID(identifier) for identifier in one_by_one}) == len(event_at)


def test_ids_stay_what_they_were():
    assert prediction_id("caller/request", 7, event_at=AT) == "013d5319-4d7f-78e4-9bf0-755a514947ac"


def test_no_two_callers_and_requests_make_the_same_text():
    names, requests = ("a", "a/b", "a%2Fb", "/a", "a/", "%"), ("c", "b/c", "/c", "2Fb/c", "")
    texts = {scoped(name, request): (name, request) for name in names for request in requests}
    assert len(texts) == len(names) * len(requests)


def test_the_ids_of_ordinary_names_stay_what_they_were():
    assert scoped("caller-key", "r/1") == "caller-key/r/1"


def test_ids_from_any_row_on_are_those_of_the_whole_request():
    event_at = [AT + timedelta(seconds=row % 3) for row in range(9000)]
    together = prediction_ids("caller/r", event_at)
    assert len(set(together)) == 9000
    for first_row, num_rows in [(0, 9), (4000, 200), (4095, 1), (4096, 5), (8999, 1)]:
        rows = slice(first_row, first_row + num_rows)
        assert prediction_ids("caller/r", event_at[rows], first_row=first_row) == together[rows]


@pytest.mark.parametrize("row", [0, 1, 4095, 4096])
def test_the_id_of_one_row_is_that_of_the_row_among_others(row):
    at = datetime(2024, 3, 1, tzinfo=UTC)
    assert prediction_id("caller/r", row, event_at=at) == prediction_ids("caller/r", [at] * (row + 2))[row]
