import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.errors import LakeError, WorkloadError
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, prediction_schema, raw_schema, rejected_schema

COLUMNS = (Number("distance", 0, 5000), Category("origin"))
DAYS = (date(2013, 1, 1), date(2013, 1, 2))


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def rows(*keys, day=DAYS[0]):
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    table = pa.table({"key": list(keys), "event_at": [at] * len(keys), "event_date": [day] * len(keys)})
    return conform(table, raw_schema(COLUMNS))


def keys(lake, **arguments):
    return sorted(lake.read("toy", "raw", **arguments).column("key").to_pylist())


def test_the_same_sequence_is_committed_once(lake):
    assert lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    assert not lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    assert keys(lake) == ["a"]


def test_an_older_sequence_adds_nothing_and_does_not_turn_the_stream_back(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=5)
    assert not lake.append("toy", "raw", rows("b"), stream="ingest", sequence=4)
    assert lake.last_sequence("toy", "raw", stream="ingest") == 5


def test_streams_do_not_hinder_each_other(lake):
    assert lake.append("toy", "raw", rows("a"), stream="one", sequence=1)
    assert lake.append("toy", "raw", rows("b"), stream="two", sequence=1)
    assert keys(lake) == ["a", "b"]


def test_a_commit_of_the_same_number_by_writers_at_once_is_added_once(lake):
    with ThreadPoolExecutor(4) as pool:
        tries = [pool.submit(lake.append, "toy", "raw", rows("a"), stream="ingest", sequence=1) for _ in range(4)]
    assert sorted(attempt.result() for attempt in tries) == [False, False, False, True]
    assert keys(lake) == ["a"]


def test_writers_of_different_streams_at_once_all_commit(lake):
    with ThreadPoolExecutor(4) as pool:
        tries = [
            pool.submit(lake.append, "toy", "raw", rows(str(number)), stream=str(number), sequence=1)
            for number in range(4)
        ]
    assert all(attempt.result() for attempt in tries)
    assert keys(lake) == ["0", "1", "2", "3"]


def test_an_empty_first_append_still_counts_as_committed(lake):
    assert lake.append("toy", "raw", rows(), stream="ingest", sequence=1)
    assert lake.last_sequence("toy", "raw", stream="ingest") == 1
    assert not lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)


def test_a_table_that_is_not_there_reads_as_empty_with_the_given_columns(lake):
    assert lake.read("toy", "raw", schema=raw_schema(COLUMNS)).schema == raw_schema(COLUMNS)
    assert lake.read("toy", "raw", columns=["key"]).column_names == ["key"]
    assert lake.version("toy", "raw") is None
    assert lake.last_sequence("toy", "raw", stream="ingest") is None


def test_rows_come_back_as_they_went_in(lake):
    lake.append("toy", "raw", rows("a", "b"), stream="ingest", sequence=1)
    assert lake.read("toy", "raw", schema=raw_schema(COLUMNS)).equals(rows("a", "b"))
    assert lake.read("toy", "raw").schema == raw_schema(COLUMNS)


def test_filters_choose_rows_by_partition_time_and_value(lake):
    lake.append("toy", "raw", rows("a", "b"), stream="ingest", sequence=1)
    lake.append("toy", "raw", rows("c", day=DAYS[1]), stream="ingest", sequence=2)
    noon = datetime(2013, 1, 2, 12, tzinfo=UTC)
    assert keys(lake, where=[("event_date", "=", DAYS[1])]) == ["c"]
    assert keys(lake, where=[("event_at", "<", noon), ("key", "!=", "a")]) == ["b"]
    assert keys(lake, where=[("key", "in", ["a", "c"])], columns=["key"]) == ["a", "c"]


def test_a_filter_opens_no_file_of_another_partition(lake, tmp_path):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    lake.append("toy", "raw", rows("b", day=DAYS[1]), stream="ingest", sequence=2)
    for path in (tmp_path / "lake/toy/raw/event_date=2013-01-01").iterdir():
        path.unlink()
    assert keys(lake, where=[("event_date", "=", DAYS[1])]) == ["b"]
    with pytest.raises(LakeError, match="a file was removed"):
        lake.read("toy", "raw")


def test_an_old_version_stays_as_it_was(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    before = lake.version("toy", "raw")
    lake.append("toy", "raw", rows("b"), stream="ingest", sequence=2)
    assert keys(lake, version=before) == ["a"]
    with pytest.raises(LakeError, match="at version 99"):
        lake.read("toy", "raw", version=99)
    with pytest.raises(LakeError, match="no version 3"):
        lake.read("toy", "labels", version=3)


def test_changes_gives_each_row_once_in_order(lake):
    schema = raw_schema(COLUMNS)
    nothing, reached = lake.changes("toy", "raw", after_version=None, schema=schema)
    assert (nothing.num_rows, reached) == (0, None)
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    first, reached = lake.changes("toy", "raw", after_version=reached, schema=schema)
    lake.append("toy", "raw", rows("b"), stream="ingest", sequence=2)
    lake.append("toy", "raw", rows("c", day=DAYS[1]), stream="ingest", sequence=3)
    second, reached = lake.changes("toy", "raw", after_version=reached, schema=schema)
    third, again = lake.changes("toy", "raw", after_version=reached, schema=schema)
    assert first.column("key").to_pylist() == ["a"]
    assert sorted(second.column("key").to_pylist()) == ["b", "c"]
    assert (third.num_rows, again) == (0, reached)


def test_a_column_that_is_declared_later_is_null_in_older_rows(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    schema = raw_schema([*COLUMNS, Number("wind", 0, 100)])
    newer = rows("b").append_column("wind", pa.array([3.0]))
    lake.append("toy", "raw", newer, stream="ingest", sequence=2)
    table = lake.read("toy", "raw", schema=schema)
    assert dict(zip(table["key"].to_pylist(), table["wind"].to_pylist(), strict=True)) == {"a": None, "b": 3.0}
    changed, _ = lake.changes("toy", "raw", after_version=None, schema=schema)
    assert sorted(changed["key"].to_pylist()) == ["a", "b"]


def test_a_row_of_another_type_is_refused_and_nothing_is_added(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    wrong = rows("b").drop_columns(["label"]).append_column("label", pa.array(["late"]))
    with pytest.raises(LakeError, match="cannot be appended"):
        lake.append("toy", "raw", wrong, stream="ingest", sequence=2)
    assert lake.last_sequence("toy", "raw", stream="ingest") == 1


def test_rows_without_an_event_date_are_refused(lake):
    with pytest.raises(LakeError, match="event_date"):
        lake.append("toy", "raw", rows("a").drop_columns(["event_date"]), stream="ingest", sequence=1)


def test_an_unknown_column_or_comparison_is_named(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    with pytest.raises(LakeError, match="no column wind"):
        lake.read("toy", "raw", columns=["wind"])
    with pytest.raises(LakeError, match="Unknown comparison '~'"):
        lake.read("toy", "raw", where=[("key", "~", "a")])


def test_a_lake_pickles(lake):
    lake.append("toy", "raw", rows("a"), stream="ingest", sequence=1)
    assert keys(pickle.loads(pickle.dumps(lake))) == ["a"]


def test_a_declared_column_cannot_take_the_name_of_one_of_the_lake():
    with pytest.raises(WorkloadError, match="sequence"):
        prediction_schema([Number("sequence", 0, 1)])


def test_segments_hold_predictions_without_the_columns_of_the_commit():
    added = set(prediction_schema(COLUMNS).names) - set(prediction_schema(COLUMNS, with_commit=False).names)
    assert added == {"stream", "sequence", "event_date"}
    assert rejected_schema().names == ["key", "event_at", "reason", "row", "event_date"]
