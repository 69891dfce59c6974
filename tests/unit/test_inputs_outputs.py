"""Tables from elsewhere at one state; tables of ours there as a whole, once, or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from heliostat.errors import LakeError
from heliostat.store import inputs
from heliostat.store.inputs import open_input
from heliostat.store.outputs import REJECTED, Output

TABLE = pa.table({"a": [1, 2, 3, 4], "site": ["x", "x", "y", "y"]})


def all_rows(opened, where=(), columns=("a", "site")):
    return [
        (part.number, number, *row.values())
        for part in opened.parts
        for numbers, table in part.pieces(columns, where)
        for number, row in zip(numbers.tolist(), table.to_pylist(), strict=True)
    ]


def test_a_delta_table_is_read_at_one_version_with_its_partition_columns(tmp_path):
    write_deltalake(tmp_path / "t", TABLE, partition_by=["site"])
    write_deltalake(tmp_path / "t", TABLE, mode="append", partition_by=["site"])
    opened = open_input(str(tmp_path / "t"), version=0)
    assert opened.state == "delta/0"
    assert [row[2:] for row in all_rows(opened)] == [(1, "x"), (2, "x"), (3, "y"), (4, "y")]


def test_a_changed_file_is_another_state(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    first = open_input(str(tmp_path / "t.parquet"))
    pq.write_table(TABLE.slice(0, 2), tmp_path / "t.parquet")
    assert open_input(str(tmp_path / "t.parquet")).state != first.state


def test_a_long_file_is_cut_and_every_row_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "ROWS_PER_PART", 2)
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=1)
    opened = open_input(str(tmp_path / "t.parquet"))
    assert [row[:3] for row in all_rows(opened)] == [(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4)]


def test_csv_cells_stay_text_where_asked(tmp_path):
    (tmp_path / "t.csv").write_text("a,site\n1,x\nmany,y\n,z\n")
    opened = open_input(str(tmp_path / "t.csv"), as_text=["a"])
    assert [row[2] for row in all_rows(opened)] == ["1", "many", None]


def test_filters_and_a_limit_choose_the_same_rows_every_time(tmp_path):
    for number in range(3):
        pq.write_table(TABLE, tmp_path / f"{number}.parquet")
    opened = open_input(str(tmp_path)).first(3, ["site=y"])
    assert [row[:3] for row in all_rows(opened, ["site=y"])] == [(0, 0, 3), (0, 1, 4), (1, 0, 3)]
    assert [row[2] for row in all_rows(open_input(str(tmp_path)), ["a>=2", "site!=y"])] == [2, 2, 2]


@pytest.mark.parametrize(
    ("where", "words"), [("a", "looks like"), ("b=1", "names no column"), ("a=many", "is no int64")]
)
def test_a_filter_that_means_nothing_is_refused(tmp_path, where, words):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(LakeError, match=words):
        all_rows(open_input(str(tmp_path / "t.parquet")), [where])


@pytest.mark.parametrize("name", ["nothing.parquet", "text.parquet"])
def test_what_cannot_be_read_is_said_at_once(tmp_path, name):
    (tmp_path / "text.parquet").write_text("not parquet at all")
    with pytest.raises(LakeError, match="cannot be read"):
        open_input(str(tmp_path / name))


SCHEMA = pa.schema([("id", pa.string()), ("probability", pa.float64())])


def answers(*ids):
    return pa.table({"id": list(ids), "probability": [0.5] * len(ids)}, schema=SCHEMA)


def put(output, run, *tables):
    files = [output.write(run, table) for table in tables]
    return output.commit(run, files, schema=SCHEMA, rejected=[])


def ids_in(output):
    if output.kind == "delta":
        return sorted(DeltaTable(output.uri).to_pyarrow_dataset().to_table()["id"].to_pylist())
    return sorted(ds.dataset(output.uri).to_table()["id"].to_pylist())


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_nothing_is_there_before_the_commit_and_everything_after(tmp_path, kind):
    output = Output(uri=str(tmp_path / "out"), kind=kind)
    output.write("run", answers("lost"))  # by an attempt that was killed
    files = [output.write("run", answers("a", "b")), output.write("run", answers("c"))]
    assert kind == "delta" or not Path(output.uri).exists()
    assert kind == "parquet" or not DeltaTable.is_deltatable(output.uri)
    output.commit("run", files, schema=SCHEMA, rejected=[])
    assert ids_in(output) == ["a", "b", "c"]
    assert output.rows("c")["id"].to_pylist() == ["c"]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_run_that_committed_commits_no_second_time(tmp_path, kind):
    output = Output(uri=str(tmp_path / "out"), kind=kind)
    first = put(output, "run", answers("a"))
    output.refuse("run")
    assert put(output, "run", answers("a")) == first == output.committed("run")
    assert ids_in(output) == ["a"]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_another_run_must_say_that_it_overwrites(tmp_path, kind):
    output = Output(uri=str(tmp_path / "out"), kind=kind)
    put(output, "run", answers("a"))
    with pytest.raises(LakeError, match="--overwrite"):
        output.refuse("other")
    over = Output(uri=output.uri, kind=kind, mode="overwrite")
    over.refuse("other")
    put(over, "other", answers("b"))
    assert ids_in(over) == ["b"]


def test_delta_appends_and_finds_a_row_by_its_id(tmp_path):
    output = Output(uri=str(tmp_path / "out"), kind="delta", mode="append")
    put(output, "run", answers("a"))
    put(output, "other", answers("b"))
    assert ids_in(output) == ["a", "b"]
    assert (output.committed("run"), output.committed("other")) == (0, 1)
    assert output.rows("b", version=0).num_rows == 0


def test_rejected_rows_lie_beside_and_no_reader_takes_them_for_answers(tmp_path):
    output = Output(uri=str(tmp_path / "out"), kind="parquet")
    kept, bad = output.write("run", answers("a")), output.write("run", answers("bad"), rejected=True)
    output.commit("run", [kept], schema=SCHEMA, rejected=[bad])
    assert ids_in(output) == ["a"]
    assert ds.dataset(f"{output.uri}/{REJECTED}").to_table()["id"].to_pylist() == ["bad"]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_run_without_answers_leaves_an_empty_table(tmp_path, kind):
    output = Output(uri=str(tmp_path / "out"), kind=kind)
    put(output, "run")
    assert ids_in(output) == []


def test_an_object_store_takes_no_folder_of_parquet():
    with pytest.raises(LakeError, match="write Delta"):
        Output(uri="s3://bucket/out?region=eu-west-1", kind="parquet").refuse("run")
