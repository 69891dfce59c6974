"""What became of labels: each is counted once, whenever and in whatever order it came."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.ids import prediction_id
from heliostat.label_outcomes import MAX_DAYS, followed
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema
from heliostat.store.stamps import label_dates
from heliostat.watch.exposition import exposition
from heliostat.watch.label_counts import GRACE, OUTCOMES, LabelCounts, counted, measured_labels

START, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)
WAIT = 2 * DAY
INSTANT = pa.timestamp("us", tz="UTC")


def identifier(number, day=0):
    return prediction_id(f"k{number}", 0, event_at=START + day * DAY)


def predictions(num_rows, *, day=0, is_due=True):
    at = [START + day * DAY] * num_rows
    due = [START + day * DAY + WAIT if is_due else None] * num_rows
    table = pa.table(
        {
            "id": [identifier(number, day) for number in range(num_rows)],
            "event_at": pa.array(at, INSTANT),
            "due_at": pa.array(due, INSTANT),
        }
    )
    return conform(table.append_column("event_date", table["event_at"].cast(pa.date32())), prediction_schema(()))


def labels(*told, day=0):
    """Labels as (number or id, value, hours after the event)."""
    ids = [identifier(one, day) if isinstance(one, int) else one for one, _, _ in told]
    known_at = [START + day * DAY + timedelta(hours=hours) for _, _, hours in told]
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "key": pa.array([None if one is not None else "a key" for one in ids], pa.string()),
            "value": [float(value) for _, value, _ in told],
            "known_at": pa.array(known_at, INSTANT),
            "received_at": pa.array(known_at, INSTANT),
        }
    )
    return conform(table.append_column("event_date", label_dates(table)), label_schema())


TOLD = labels(
    (0, 1, 5),  # in time
    (1, 0, 60),  # late
    (2, 1, 4),  # in time,
    (2, 1, 6),  # repeated,
    (2, 0, 7),  # contradicting,
    (2, 0, 50),  # and repeated once more
    (99, 1, 3),  # nobody was asked about it
)
FOUND = {"in_time": 2, "late": 1, "repeated": 2, "contradicting": 1, "unknown": 1}


@pytest.mark.parametrize("seed", range(5))
def test_each_label_of_a_day_has_one_outcome_whatever_its_order(seed):
    order = np.random.default_rng(seed).permutation(TOLD.num_rows)
    assert counted(predictions(4), TOLD.take(pa.array(order))) == FOUND
    assert sum(FOUND.values()) == TOLD.num_rows


def test_a_copy_of_a_prediction_changes_nothing_and_no_due_time_means_never_late():
    twice = pa.concat_tables([predictions(4), predictions(4)])
    assert counted(twice, TOLD) == FOUND
    assert counted(predictions(4, is_due=False), TOLD) == FOUND | {"in_time": 3, "late": 0}


def test_no_labels_and_no_predictions_count_nothing():
    assert set(counted(predictions(0), label_schema().empty_table()).values()) == {0}
    assert counted(predictions(0), TOLD)["unknown"] == TOLD.num_rows


def test_a_day_settles_a_week_after_the_last_of_its_labels_fell_due():
    counts = LabelCounts().begun(predictions(1), read_until=None, clock=START)
    settles_at = START + DAY + WAIT + GRACE
    assert counts.next_day(settles_at - timedelta(seconds=1), wait=WAIT) is None
    assert counts.next_day(settles_at, wait=WAIT) == START.date()
    assert LabelCounts().next_day(settles_at, wait=WAIT) is None


class Followed:
    """A lake that is followed as the monitor does it; the counts are stored and read after every look."""

    def __init__(self, uri):
        self.lake, self.counts, self.number = Lake(uri), LabelCounts(), 0

    def tell(self, table, rows):
        self.number += 1
        self.lake.append("toy", table, rows, stream="recorder", sequence=self.number)

    def look(self, *, after, rows=None, wait=WAIT):
        found = followed(
            self.lake,
            "toy",
            self.counts,
            predictions=predictions(0) if rows is None else rows,
            clock=START + after,
            wait=wait,
        )
        self.counts = LabelCounts.from_json(json.loads(json.dumps(found.to_json())))
        assert self.counts == found
        return {name: number for name, number in self.counts.num_by_outcome.items() if number}


@pytest.fixture
def lake(tmp_path):
    found = Followed(str(tmp_path))
    rows = predictions(4)
    found.tell("predictions", rows)
    assert found.look(after=DAY, rows=rows) == {}
    return found


def test_labels_are_counted_when_their_day_settles_and_then_once(lake):
    lake.tell("labels", TOLD)
    assert lake.look(after=3 * DAY) == {}
    assert lake.look(after=DAY + WAIT + GRACE) == FOUND
    assert lake.look(after=DAY + WAIT + GRACE) == FOUND
    assert lake.look(after=2 * DAY + WAIT + GRACE) == FOUND
    assert lake.counts.settled_until == date(2024, 3, 3)


def test_a_label_of_a_settled_day_is_too_old_and_one_by_key_is_told_as_such(lake):
    lake.tell("labels", TOLD)
    lake.look(after=DAY + WAIT + GRACE)
    lake.tell("labels", labels((3, 1, 600), (None, 1, 600)))
    assert lake.look(after=DAY + WAIT + GRACE) == FOUND | {"too_old": 1, "by_key": 1}
    assert lake.counts.newest_known_at == START + DAY + WAIT + GRACE  # they say that they come later than it is


def test_labels_of_days_before_counting_began_are_not_called_too_old(tmp_path):
    found, later = Followed(str(tmp_path)), predictions(4, day=20)
    found.tell("predictions", predictions(4, day=19))  # answered before anybody counted
    found.tell("predictions", later)
    assert found.look(after=21 * DAY, rows=later) == {}
    found.tell("labels", labels((0, 1, 30), day=19))
    assert found.look(after=21 * DAY) == {}
    assert found.counts.newest_known_at == START + 19 * DAY + timedelta(hours=30)


def test_a_first_prediction_of_the_far_future_does_not_keep_the_days_before_it_from_settling(tmp_path):
    found = Followed(str(tmp_path))
    never = predictions(1, day=(date(9999, 12, 31) - START.date()).days, is_due=False)
    found.tell("predictions", never)
    assert found.look(after=DAY / 2, rows=never) == {}
    found.tell("predictions", predictions(4))
    found.tell("labels", TOLD)
    assert found.look(after=DAY, rows=predictions(4)) == {}
    assert found.look(after=DAY + WAIT + GRACE) == FOUND


def test_without_knowing_how_long_labels_take_no_day_settles_and_a_long_pause_is_made_up_for_in_parts(lake):
    lake.tell("labels", TOLD)
    assert lake.look(after=100 * DAY, wait=None) == {}
    lake.look(after=100 * DAY)
    assert lake.counts.settled_until == START.date() + MAX_DAYS * DAY
    assert lake.look(after=100 * DAY) == FOUND


def test_every_outcome_is_exported_from_the_start():
    counts = LabelCounts()
    told = list(measured_labels(counts, is_up=True))
    text = exposition("toy", measured=told, num_by_label_outcome=counts.num_by_outcome)
    for outcome in OUTCOMES:
        assert f'heliostat_labels_total{{outcome="{outcome}",workload="toy"}} 0.0' in text
