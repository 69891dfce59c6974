from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.ids import prediction_id
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema, raw_schema
from tests import toy

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _rows(schema, rows):
    dated = [{"event_date": row["event_at"].date(), **row} for row in rows]
    return conform(pa.Table.from_pylist(dated, schema=pa.schema([schema.field(name) for name in dated[0]])), schema)


@pytest.fixture
def lake(tmp_path):
    """Two raw rows, and five predictions an hour apart, due after a day; the labels of the last come late or never."""
    lake = Lake(str(tmp_path))
    inputs = {"load_percent": 50.0, "temperature_c": 10.0, "site": "alpha"}
    raw = [
        {
            "key": f"old-{n}",
            "event_at": START - 48 * HOUR,
            "due_at": START - 24 * HOUR,
            "label": 1.0,
            "label_known_at": START - 30 * HOUR,
            **inputs,
        }
        for n in range(2)
    ]
    lake.append("toy", "raw", _rows(raw_schema(toy.workload.columns), raw), stream="ingest", sequence=1)
    ids = [prediction_id("r", n, event_at=START + n * HOUR) for n in range(5)]
    predictions = [
        {
            "id": ids[n],
            "key": f"new-{n}",
            "event_at": START + n * HOUR,
            "due_at": START + (24 + n) * HOUR,
            "version": 1,
            "arm": "champion",
            "degraded": False,
            "probability": 0.5,
            **inputs,
        }
        for n in range(5)
    ]
    schema = prediction_schema(toy.workload.columns)
    lake.append("toy", "predictions", _rows(schema, predictions), stream="recorder", sequence=1)
    labels = [
        {"id": ids[n], "value": float(n % 2), "known_at": START + (10 + 30 * (n == 3)) * HOUR, "event_at": START}
        for n in range(4)
    ]
    dated = pa.Table.from_pylist([{**label, "event_date": START.date()} for label in labels])
    lake.append("toy", "labels", conform(dated, label_schema()), stream="recorder", sequence=1)
    return lake


def _keys(rows):
    return sorted(rows["key"].to_pylist())


def test_only_rows_that_are_due_and_labelled_are_learned_from(lake):
    rows = cohorts.training_rows(lake, toy.workload, as_of=START + 26 * HOUR)
    assert _keys(rows) == ["new-0", "new-1", "new-2", "old-0", "old-1"]


def test_a_label_that_arrived_early_does_not_count_before_its_row_is_due(lake):
    assert _keys(cohorts.training_rows(lake, toy.workload, as_of=START + 12 * HOUR)) == ["old-0", "old-1"]


def test_a_late_label_counts_once_it_is_known(lake):
    assert "new-3" not in _keys(cohorts.training_rows(lake, toy.workload, as_of=START + 30 * HOUR))
    assert "new-3" in _keys(cohorts.training_rows(lake, toy.workload, as_of=START + 41 * HOUR))


def test_a_pinned_table_version_hides_what_came_later(lake):
    rows = cohorts.training_rows(lake, toy.workload, as_of=START + 41 * HOUR, versions={"predictions": 0})
    assert _keys(rows) == ["old-0", "old-1"]


def test_a_cohort_holds_what_fell_due_in_its_span_labelled_or_not(lake):
    due = cohorts.due(
        lake, "toy", toy.workload.columns, since=START + 26 * HOUR, until=START + 29 * HOUR, longest_due=24 * HOUR
    )
    assert _keys(due) == ["new-2", "new-3", "new-4"]
    assert due["label"].null_count == 2  # one is late, one never came


@pytest.mark.parametrize("said", [{"key": "new-4"}, {"id": prediction_id("r", 4, event_at=START + 4 * HOUR)}])
def test_a_label_that_is_shut_out_counts_as_not_told_in_a_cohort(lake, said):
    at = START + 26 * HOUR
    told = {**said, "value": 1.0, "known_at": at, "received_at": at, "source": "http/a", "event_date": START.date()}
    lake.append("toy", "labels", conform(pa.Table.from_pylist([told]), label_schema()), stream="recorder", sequence=2)
    day = {"since": START.isoformat(), "until": (START + 48 * HOUR).isoformat()}

    def label_of_the_last(source):
        span = {"since": START + 24 * HOUR, "until": START + 29 * HOUR, "longest_due": 24 * HOUR}
        shut_out = [{"source": source, **day}]
        found = cohorts.due(lake, "toy", toy.workload.columns, **span, shut_out=shut_out)
        return dict(zip(found["key"].to_pylist(), found["label"].to_pylist(), strict=True))["new-4"]

    assert (label_of_the_last("http/b"), label_of_the_last("http/a")) == (1.0, None)


def test_the_hold_out_is_counted_from_the_newest_row_that_is_due(lake):
    rows = cohorts.training_rows(lake, toy.workload, as_of=START + 26 * HOUR)
    at = cohorts.holdout_since(pc.max(rows["event_at"]).as_py(), 90 * timedelta(minutes=1))
    before, after = cohorts.parted(rows, at=at)
    assert _keys(after) == ["new-1", "new-2"]
    assert before.num_rows + after.num_rows == rows.num_rows


def test_no_matured_row_is_said_so(lake):
    rows = cohorts.training_rows(lake, toy.workload, as_of=START - 100 * HOUR)
    with pytest.raises(TrainingError, match="Ingest more"):
        cohorts.holdout_since(pc.max(rows["event_at"]).as_py(), HOUR)


def test_a_label_that_comes_after_its_cohort_was_judged_is_learned_from_and_judges_nothing_again(lake):
    """The fourth label is known 40 hours after the start; its prediction fell due after 27."""
    span = {"since": START + 24 * HOUR, "until": START + 29 * HOUR, "longest_due": 24 * HOUR}
    judged = cohorts.due(lake, "toy", toy.workload.columns, **span)
    assert dict(zip(judged["key"].to_pylist(), judged["label"].to_pylist(), strict=True))["new-3"] is None
    late = cohorts.training_rows(lake, toy.workload, as_of=START + 41 * HOUR)
    assert "new-3" in late["key"].to_pylist()


def test_a_label_by_key_joins_its_prediction_whatever_day_it_was_told_on(lake):
    told = {"key": "new-4", "value": 1.0, "known_at": START + 26 * HOUR, "event_date": (START + 26 * HOUR).date()}
    lake.append("toy", "labels", conform(pa.Table.from_pylist([told]), label_schema()), stream="recorder", sequence=2)
    span = {"since": START + 24 * HOUR, "until": START + 29 * HOUR, "longest_due": 24 * HOUR}
    found = cohorts.due(lake, "toy", toy.workload.columns, **span)
    labels = dict(zip(found["key"].to_pylist(), found["label"].to_pylist(), strict=True))
    assert labels == {"new-0": 0.0, "new-1": 1.0, "new-2": 0.0, "new-3": None, "new-4": 1.0}


def test_rows_of_days_up_to_the_last_of_all_dates_are_those_that_were_known(lake):
    as_of, last = START + 41 * HOUR, date(9999, 12, 31)
    every = _keys(cohorts.training_rows(lake, toy.workload, as_of=as_of))
    assert _keys(cohorts.training_rows(lake, toy.workload, as_of=as_of, days=(date(1970, 1, 1), last))) == every
    assert _keys(cohorts.training_rows(lake, toy.workload, as_of=as_of, days=(last, last))) == []


def test_labels_older_than_any_prediction_or_of_nobodys_id_join_nothing(lake):
    old, at = START - 900 * HOUR, START + HOUR
    ids = [prediction_id("gone", 0, event_at=old), "no-id-of-ours", prediction_id("never asked", 0, event_at=START)]
    told = [
        {"id": one, "value": 1.0, "known_at": at, "event_date": day.date()}
        for one, day in zip(ids, (old, at, at), strict=True)
    ]
    lake.append("toy", "labels", conform(pa.Table.from_pylist(told), label_schema()), stream="recorder", sequence=2)
    span = {"since": START + 24 * HOUR, "until": START + 29 * HOUR, "longest_due": 24 * HOUR}
    found = cohorts.due(lake, "toy", toy.workload.columns, **span)
    assert found["label"].to_pylist().count(None) == 2
    assert found.num_rows == 5
