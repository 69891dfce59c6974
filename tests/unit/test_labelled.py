from datetime import UTC, datetime, timedelta

from heliostat.watch.labelled import NUM_KEPT, Labelled

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_rows_are_counted_from_an_instant_on_and_a_cohort_told_twice_once():
    found = Labelled().added(START, 5).added(START + DAY, 7).added(START + DAY, 7)
    assert (found.since(START), found.since(START + DAY), found.since(START + 2 * DAY)) == (12, 7, 0)


def test_old_cohorts_are_added_up_and_none_is_lost():
    found = Labelled()
    for day in range(NUM_KEPT + 50):
        found = found.added(START + day * DAY, 1)
    assert len(found.num_by_since) == NUM_KEPT
    assert found.since(START) == NUM_KEPT + 50
    assert Labelled.from_json(found.to_json()) == found
