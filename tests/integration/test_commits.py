import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from heliostat.cohorts import without
from heliostat.columns import Number
from heliostat.errors import LakeError
from heliostat.ids import prediction_id
from heliostat.store import plans
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema, shadow_schema
from heliostat.store.segments import SegmentWriter

COLUMNS = (Number("distance", 0, 5000),)
NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
STREAM = "recorder/one"


def predictions(*request_ids, at=NOON):
    schema = prediction_schema(COLUMNS, with_commit=False)
    rows = [
        dict.fromkeys(schema.names)
        | {
            "id": prediction_id(request_id, 0, event_at=at),
            "request_id": request_id,
            "row": 0,
            "event_at": at,
            "probability": 0.5,
            "distance": 100.0,
        }
        for request_id in request_ids
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def shadows(*request_ids, version=2, at=NOON):
    schema = shadow_schema(with_commit=False)
    rows = [
        dict.fromkeys(schema.names)
        | {"id": prediction_id(request_id, 0, event_at=at), "event_at": at, "version": version, "probability": 0.4}
        for request_id in request_ids
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def labels(*named, value=1.0, at=NOON):
    schema = label_schema(with_commit=False)
    rows = [dict.fromkeys(schema.names) | name | {"value": value, "known_at": at} for name in named]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def write(directory, *, answered=(), asked=(), known=()):
    """One sealed segment of each kind that there are batches for."""
    for kind, batches in (("predictions", answered), ("shadows", asked), ("labels", known)):
        if batches:
            segment = SegmentWriter(directory, kind, schema=batches[0].schema)
            for batch in batches:
                segment.append(batch)
            segment.rotate()


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "segments"


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def start(lake, directory):
    started = []

    def start(stream=STREAM, where=directory, **options):
        started.append(SegmentCommitter(lake, "toy", directory=where, stream=stream, columns=COLUMNS, **options))
        return started[-1]

    yield start
    for committer in started:
        committer.close()


def committed(lake, table="predictions", column="request_id"):
    return sorted(map(str, lake.read("toy", table, columns=[column]).column(column).to_pylist()))


def test_sealed_segments_are_moved_once_and_then_nothing_is_left(lake, directory, start):
    write(directory, answered=[predictions("a", "b"), predictions("c")], known=[labels({"key": "k"})])
    committer = start()
    moved = committer.step()
    assert (moved.num_predictions, moved.num_labels, moved.num_segments, moved.num_duplicates) == (3, 1, 2, 0)
    assert (moved.sequence, moved.watermark_at, moved.labels_watermark_at) == (1, NOON, NOON)
    assert committer.step().sequence is None
    assert committed(lake) == ["a", "b", "c"]
    assert os.listdir(directory) == ["committer.lock"]


def test_rows_carry_the_transaction_that_wrote_them(lake, directory, start):
    committer = start()
    for name in ("a", "b"):
        write(directory, answered=[predictions(name)])
        committer.step()
    table = lake.read("toy", "predictions", schema=prediction_schema(COLUMNS))
    assert sorted(table.column("sequence").to_pylist()) == [1, 2]
    assert set(table.column("stream").to_pylist()) == {STREAM}
    assert lake.last_sequence("toy", "predictions", stream=STREAM) == 2


def test_the_segment_of_a_live_writer_waits(lake, directory, start):
    segment = SegmentWriter(directory, "predictions", schema=predictions("a").schema)
    segment.append(predictions("a"))
    committer = start()
    assert committer.step().sequence is None
    segment.rotate()
    assert committer.step().num_predictions == 1


def test_a_request_that_ran_twice_counts_once_within_a_commit_and_across_commits(lake, directory, start):
    committer = start()
    write(directory, answered=[predictions("a"), predictions("a", "b")])
    first = committer.step()
    write(directory, answered=[predictions("b", "c")])
    second = committer.step()
    assert (first.num_predictions, first.num_duplicates) == (2, 1)
    assert (second.num_predictions, second.num_duplicates) == (1, 1)
    assert committed(lake) == ["a", "b", "c"]


def test_a_restarted_committer_knows_what_is_in_the_lake(lake, directory, start):
    write(directory, answered=[predictions("a")], known=[labels({"key": "k"})])
    committer = start()
    committer.step()
    committer.close()
    write(directory, answered=[predictions("a")], known=[labels({"key": "k"})])
    again = start().step()
    assert (again.num_predictions, again.num_labels, again.num_duplicates) == (0, 0, 2)
    assert (again.watermark_at, again.labels_watermark_at) == (NOON, NOON)


def test_a_repeat_through_another_node_counts_once(lake, directory, start, tmp_path):
    here, there = start(), start(stream="recorder/two", where=tmp_path / "other")
    write(directory, answered=[predictions("a")])
    here.step()
    write(tmp_path / "other", answered=[predictions("a", "b")])
    there.step()
    write(directory, answered=[predictions("b", "c")])
    here.step()
    assert committed(lake) == ["a", "b", "c"]


def test_a_contradictory_label_is_kept_and_a_repeated_one_is_not(lake, directory, start):
    identifier = {"id": prediction_id("a", 0, event_at=NOON)}
    write(directory, known=[labels(identifier), labels(identifier), labels(identifier, value=0.0)])
    committer = start()
    assert committer.step().num_labels == 2
    write(directory, known=[labels(identifier, at=NOON + timedelta(hours=1)), labels(identifier)])
    assert committer.step().num_labels == 1


def test_what_two_sources_tell_alike_stays_when_one_of_them_is_shut_out(lake, directory, start):
    identifier = {"id": prediction_id("a", 0, event_at=NOON)}
    told = [labels(identifier | {"source": f"http/{name}", "received_at": NOON}) for name in ("mallory", "ana", "ana")]
    write(directory, known=told[:2])
    committer = start()
    assert committer.step().num_labels == 2
    write(directory, known=told[2:])
    assert committer.step().num_labels == 0
    span = {"source": "http/mallory", "since": NOON.isoformat(), "until": (NOON + timedelta(days=1)).isoformat()}
    kept = without(lake.read("toy", "labels", schema=label_schema()), [span])
    assert kept["source"].to_pylist() == ["http/ana"]


def test_a_label_by_id_and_one_by_key_are_different(lake, directory, start):
    write(directory, known=[labels({"id": "k"}, {"key": "k"})])
    assert start().step().num_labels == 2


def test_a_label_lies_in_the_partition_of_its_prediction(lake, directory, start):
    identifier = {"id": prediction_id("a", 0, event_at=NOON)}
    later = NOON + timedelta(days=3)
    write(directory, known=[labels(identifier, {"key": "k"}, {"id": "no-id-of-ours"}, at=later)])
    start().step()
    table = lake.read("toy", "labels", schema=label_schema())
    date_by_key = dict(zip(table["key"].to_pylist(), table["event_date"].to_pylist(), strict=True))
    assert date_by_key["k"] == later.date()
    assert sorted(table["event_date"].to_pylist()) == [NOON.date(), later.date(), later.date()]


def test_one_step_takes_no_more_than_asked_and_the_oldest_first(lake, directory, start):
    for name in ("a", "b", "c"):
        write(directory, answered=[predictions(name)])
    committer = start(max_bytes=1)
    committer.step()
    assert committed(lake) == ["a"]
    committer.step()
    committer.step()
    assert committed(lake) == ["a", "b", "c"]


def test_what_a_version_said_to_a_row_counts_once_and_two_versions_may_say_it(lake, directory, start):
    committer = start()
    write(directory, answered=[predictions("a")], asked=[shadows("a", "b"), shadows("a")])
    first = committer.step()
    write(directory, asked=[shadows("b", "c"), shadows("b", version=1)])
    second = committer.step()
    assert (first.num_predictions, first.num_shadows, first.num_duplicates) == (1, 2, 1)
    assert (second.num_shadows, second.num_duplicates) == (2, 1)
    found = lake.read("toy", "shadows", schema=shadow_schema())
    versions = {(row["id"], row["version"]) for row in found.to_pylist()}
    ids = [prediction_id(name, 0, event_at=NOON) for name in "abc"]
    assert versions == {(ids[0], 2), (ids[1], 2), (ids[2], 2), (ids[1], 1)}


@pytest.mark.parametrize("table", ["shadows", "labels"])
def test_a_committer_killed_between_two_tables_repeats_nothing(lake, directory, table):
    class Dying(Lake):
        def append(self, workload, name, *arguments, **named):
            if name == table:
                raise Killed
            return super().append(workload, name, *arguments, **named)

    write(directory, answered=[predictions("a")], asked=[shadows("a")], known=[labels({"key": "k"})])
    dying = SegmentCommitter(Dying(lake.uri), "toy", directory=directory, stream=STREAM, columns=COLUMNS)
    with pytest.raises(Killed):
        dying.step()
    dying.close()
    again = SegmentCommitter(lake, "toy", directory=directory, stream=STREAM, columns=COLUMNS)
    moved = again.step()
    again.close()
    num_before = {"shadows": (0, 1, 1), "labels": (0, 0, 1)}[table]
    assert (moved.num_predictions, moved.num_shadows, moved.num_labels) == num_before
    assert [committed(lake, name, "event_date") for name in ("predictions", "shadows", "labels")] == [
        ["2013-03-01"]
    ] * 3
    assert os.listdir(directory) == ["committer.lock"]


def test_a_plan_of_an_earlier_release_is_finished(lake, directory, start):
    write(directory, answered=[predictions("a")])
    (segment,) = directory.glob("predictions-*")
    (directory / plans.PLAN_NAME).write_text(json.dumps({"sequence": 1, "predictions": [segment.name], "labels": []}))
    assert start().step().num_predictions == 1
    assert committed(lake) == ["a"]


def test_two_committers_cannot_share_a_directory(directory, start):
    first, second = start(), start()
    first.step()
    with pytest.raises(LakeError, match="Another process"):
        second.step()
    first.close()
    second.step()


def test_a_lost_directory_does_not_make_the_stream_start_over(lake, directory, start, tmp_path):
    write(directory, answered=[predictions("a")])
    start().step()
    write(tmp_path / "new", answered=[predictions("b")])
    assert start(where=tmp_path / "new").step().sequence == 2
    assert committed(lake) == ["a", "b"]


def test_a_stream_that_another_committer_uses_too_loses_no_segment(lake, directory, start, tmp_path):
    here, there = start(), start(where=tmp_path / "other")
    for where, committer in ((directory, here), (tmp_path / "other", there)):
        write(where, answered=[predictions(f"first of {where.name}")])
        committer.step()
    write(directory, answered=[predictions("a")])
    with pytest.raises(LakeError, match="two committers use one stream"):
        here.step()
    assert len(list(directory.glob("predictions-*"))) == 1


def test_a_plan_that_cannot_be_read_is_named(directory, start):
    directory.mkdir()
    (directory / plans.PLAN_NAME).write_text("{")
    with pytest.raises(LakeError, match=r"plan\.json cannot be read"):
        start().step()


class Killed(BaseException):
    """Nothing in the program catches it, as nothing catches SIGKILL."""


class CountedLake(Lake):
    """A lake whose appends count as writes."""

    count = staticmethod(lambda: None)

    def append(self, *arguments, **named):
        self.count()
        return super().append(*arguments, **named)


def fill(directory):
    identifier = {"id": prediction_id("a", 0, event_at=NOON)}
    for name in ("a", "b"):
        write(directory, answered=[predictions(name)], known=[labels(identifier, {"key": name})])


def assert_recovers(lake, directory):
    write(directory, answered=[predictions("a", "c")])
    committer = SegmentCommitter(lake, "toy", directory=directory, stream=STREAM, columns=COLUMNS)
    while committer.step().sequence is not None:
        pass
    committer.close()
    assert committed(lake) == ["a", "b", "c"]
    assert committed(lake, "labels", "key") == ["None", "a", "b"]
    assert os.listdir(directory) == ["committer.lock"]


@pytest.mark.parametrize("num_before", range(9))
def test_a_committer_killed_before_any_single_write_loses_nothing_and_repeats_nothing(
    num_before, lake, directory, monkeypatch
):
    fill(directory)
    remaining = num_before

    def count():
        nonlocal remaining
        if remaining == 0:
            raise Killed
        remaining -= 1

    def counted(function):
        return lambda *arguments, **named: (count(), function(*arguments, **named))[1]

    counted_lake = CountedLake(lake.uri)
    committer = SegmentCommitter(counted_lake, "toy", directory=directory, stream=STREAM, columns=COLUMNS)
    with monkeypatch.context() as patch:
        patch.setattr(CountedLake, "count", staticmethod(count))
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(os, "unlink", counted(os.unlink))
        if num_before < 8:  # the plan, two tables, four segments, the plan again
            with pytest.raises(Killed):
                committer.step()
        else:
            committer.step()
    committer.close()
    assert_recovers(lake, directory)


def test_a_committer_that_gets_sigkill_between_its_two_tables_goes_on_where_it_was(lake, directory):
    script = f"""
import os, signal
from pathlib import Path
from heliostat.columns import Number
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake

class DyingLake(Lake):
    def append(self, workload, table, *arguments, **named):
        if table == "labels":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().append(workload, table, *arguments, **named)

SegmentCommitter(
    DyingLake({lake.uri!r}), "toy", directory=Path({str(directory)!r}), stream={STREAM!r},
    columns=(Number("distance", 0, 5000),),
).step()
"""
    fill(directory)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert committed(lake) == ["a", "b"]
    assert lake.version("toy", "labels") is None
    assert_recovers(lake, directory)
