import os
import resource
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from heliostat.errors import LakeError
from heliostat.store.segments import SegmentWriter, read, remove, sealed

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("value", pa.float64())])


def batch(*ids):
    return pa.record_batch({"id": list(ids), "value": [1.0] * len(ids)}, schema=SCHEMA)


def writer(directory, **options):
    return SegmentWriter(directory, "predictions", schema=SCHEMA, **options)


def ids(path):
    return read(path, SCHEMA).column("id").to_pylist()


def test_an_open_segment_is_never_taken_for_sealed(tmp_path):
    segment = writer(tmp_path)
    segment.append(batch("a"))
    assert sealed(tmp_path, "predictions") == []
    segment.rotate()
    (path,) = sealed(tmp_path, "predictions")
    assert ids(path) == ["a"]


def test_rotate_starts_another_segment_and_sealed_lists_the_oldest_first(tmp_path):
    segment = writer(tmp_path)
    for name in ("a", "b", "c"):
        segment.append(batch(name))
        segment.rotate()
    segment.rotate()
    assert [ids(path) for path in sealed(tmp_path, "predictions")] == [["a"], ["b"], ["c"]]
    assert sealed(tmp_path, "labels") == []


def test_the_number_of_rows_is_of_the_open_segment(tmp_path):
    segment = writer(tmp_path, durability="power")
    segment.append(batch("a", "b"))
    assert segment.num_rows == 2
    segment.rotate()
    assert segment.num_rows == 0


def test_acknowledged_batches_survive_sigkill_and_their_segment_is_sealed_by_it(tmp_path):
    script = f"""
import sys, time
from pathlib import Path
import pyarrow as pa
from heliostat.store.segments import SegmentWriter
schema = pa.schema([pa.field("id", pa.string()), pa.field("value", pa.float64())])
segment = SegmentWriter(Path({str(tmp_path)!r}), "predictions", schema=schema)
for name in "abc":
    segment.append(pa.record_batch({{"id": [name], "value": [1.0]}}, schema=schema))
print("acknowledged", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "acknowledged\n"
        assert sealed(tmp_path, "predictions") == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    (path,) = sealed(tmp_path, "predictions")
    assert ids(path) == ["a", "b", "c"]


def test_wherever_a_segment_is_cut_the_complete_batches_are_read(tmp_path):
    segment = writer(tmp_path)
    segment.append(batch("a"))
    (path,) = tmp_path.glob("predictions-*")
    ends = [path.stat().st_size]
    for name in ("b", "c"):
        segment.append(batch(name))
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    cut = tmp_path / "cut.arrows"
    for size in range(len(whole) + 1):
        cut.write_bytes(whole[:size])
        num_complete = sum(end <= size for end in ends)
        assert ids(cut) == ["a", "b", "c"][:num_complete], f"cut at byte {size} of {len(whole)}"


def test_a_segment_that_is_damaged_before_its_end_is_not_passed_over(tmp_path):
    segment = writer(tmp_path)
    for name in ("a", "b", "c"):
        segment.append(batch(name))
    segment.rotate()
    (path,) = sealed(tmp_path, "predictions")
    damaged = bytearray(path.read_bytes())
    second = damaged.find(b"\xff\xff\xff\xff", damaged.find(b"\xff\xff\xff\xff", 8) + 8)
    damaged[second + 8 : second + 40] = b"\x99" * 32
    path.write_bytes(damaged)
    with pytest.raises(LakeError, match="damaged at byte"):
        read(path, SCHEMA)


def test_a_full_disk_acknowledges_nothing_and_spoils_nothing(tmp_path):
    segment = writer(tmp_path)
    segment.append(batch("a"))
    (path,) = tmp_path.glob("predictions-*")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
    try:
        with pytest.raises(LakeError, match="cannot be written"):
            segment.append(batch("b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    segment.append(batch("c"))
    assert ids(path) == ["a", "c"]


def test_a_batch_of_another_schema_is_refused(tmp_path):
    with pytest.raises(LakeError, match="id"):
        writer(tmp_path).append(pa.record_batch({"id": [1], "value": [1.0]}))
    assert os.listdir(tmp_path) == []


def test_a_segment_of_older_columns_is_read_with_null_for_the_new_one(tmp_path):
    segment = writer(tmp_path)
    segment.append(batch("a"))
    segment.rotate()
    (path,) = sealed(tmp_path, "predictions")
    newer = SCHEMA.append(pa.field("wind", pa.float64()))
    assert read(path, newer).to_pylist() == [{"id": "a", "value": 1.0, "wind": None}]
    remove(path)
    remove(path)
    assert sealed(tmp_path, "predictions") == []
