"""What people's files are like: read right, or refused or remarked on in one sentence."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from heliostat.errors import ContractError
from heliostat.simulate.table import Roles, prepare
from jobs._simulation_input import read

NUM_ROWS = 600
X = np.round(np.random.default_rng(0).normal(size=NUM_ROWS), 4)
Y = np.arange(NUM_ROWS) % 2


def _prepared(*, roles: dict[str, str] | None = None, **columns: object):
    return prepare(pa.table({"x": X, "y": Y, **columns}), Roles(label="y", **(roles or {})), first=0.3)


def _written(path, lines, *, encoding="utf-8"):
    path.write_bytes("\n".join(lines).encode(encoding))
    return read(path)


@pytest.mark.parametrize(
    ("delimiter", "point"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ",")], ids=repr
)
def test_a_csv_is_read_with_whichever_delimiter_and_decimal_point_it_has(tmp_path, delimiter, point):
    rows = [delimiter.join((f"{x:.4f}".replace(".", point), "b a", str(y))) for x, y in zip(X, Y, strict=True)]
    table = _written(tmp_path / "a.csv", [delimiter.join(("x", "word", "y")), *rows])
    assert table.column_names == ["x", "word", "y"]
    assert table["x"].to_pylist() == X.tolist()
    assert table["word"][0].as_py() == "b a"


def test_texts_of_another_encoding_stay_apart(tmp_path):
    rows = [f"{x},{'Köln' if y else 'Kuln'},{y}" for x, y in zip(X, Y, strict=True)]
    table = _written(tmp_path / "a.csv", ["x,city,y", *rows], encoding="latin-1")
    assert table["city"].to_pylist()[:2] == ["Kuln", "Köln"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_names_of_columns_may_be_of_another_encoding_too(tmp_path, encoding):
    rows = [f"{x}\tb\t{y}" for x, y in zip(X, Y, strict=True)]
    table = _written(tmp_path / "a.txt", ["Größe\tword\ty", *rows], encoding=encoding)
    assert table.column_names == ["Größe", "word", "y"]
    assert table["Größe"].to_pylist() == X.tolist()


def test_commas_in_quoted_names_delimit_nothing(tmp_path):
    table = _written(tmp_path / "a.csv", ['"price, net, in EUR\nof 2020";y', "1,5;0", "2,5;1"])
    assert table.to_pydict() == {"price, net, in EUR\nof 2020": [1.5, 2.5], "y": [0, 1]}


def test_a_packed_file_is_read_however_its_ending_is_written(tmp_path):
    path = tmp_path / "A.CSV.GZ"
    path.write_bytes(gzip.compress(b"x;y\n1,5;0\n2,5;1\n"))
    assert read(path)["x"].to_pylist() == [1.5, 2.5]


def test_an_empty_field_is_a_missing_label_and_no_class_of_its_own(tmp_path):
    rows = [f"{x},{('no', 'yes', '')[row % 3]}" for row, x in enumerate(X)]
    table = _written(tmp_path / "a.csv", ["x,y", *rows])
    prepared = prepare(table, Roles(label="y"), first=0.3)
    assert prepared.stream.task.kind == "binary"
    assert any("200 rows have no label" in remark for remark in prepared.remarks)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "x,y\n1,2\n1,2,3\n", "cannot be read as CSV .*Expected 2 columns, got 3.*mend it"),
        ("a.csv", "", "cannot be read as CSV"),
        ("a.json", '{"x": 1}', "cannot be read as Parquet .* give a Parquet, CSV or Feather file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ContractError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize("marks", [("?",), ("-", "n.a.")], ids=str)
def test_numbers_with_marks_of_missing_ones_are_numbers_and_that_is_said(marks):
    told = [marks[row // 20 % len(marks)] if row % 20 == 0 else f" {x}" for row, x in enumerate(X)]
    prepared = _prepared(z=told)
    z = prepared.stream.inputs["z"]
    assert (z.type, z.null_count, z[1].as_py()) == (pa.float64(), NUM_ROWS // 20, X[1])
    assert any(all(repr(mark) in remark for mark in marks) for remark in prepared.remarks)


@pytest.mark.parametrize(
    "values",
    [
        [str(row % 7) for row in range(NUM_ROWS)],
        [f"{row % 7}" if row % 4 else "west" for row in range(NUM_ROWS)],
        [f"{row % 7}" if row % 100 else f"mark {row}" for row in range(NUM_ROWS)],
    ],
    ids=["codes", "words among them", "many marks"],
)
def test_texts_that_may_be_names_stay_texts(values):
    prepared = _prepared(z=values)
    assert prepared.stream.inputs["z"].type == pa.string()


@pytest.mark.parametrize("form", ["2020-01-{:02d}", "2020-01-{:02d} 10:00", "2020-01-{:02d}T10:00:00Z"])
def test_dates_as_text_are_left_out_like_dates(form):
    prepared = _prepared(signup=[None if row == 0 else form.format(row % 28 + 1) for row in range(NUM_ROWS)])
    assert prepared.stream.inputs.column_names == ["x"]
    assert any("signup (times and dates as text" in remark for remark in prepared.remarks)


def test_a_text_that_differs_in_every_row_is_said_to_look_like_a_key():
    prepared = _prepared(id=[f"user {row}" for row in range(NUM_ROWS)])
    assert any(remark.startswith("id has another text in nearly every row") for remark in prepared.remarks)


def test_a_time_in_another_form_is_refused_with_an_example_of_it():
    with pytest.raises(ContractError, match=r"as in '01/31/2020'; give .* '2020-01-31 23:59'"):
        _prepared(at=["01/31/2020"] * NUM_ROWS, roles={"event_time": "at"})


@pytest.mark.parametrize("odd", ["01/31/2020", "2020-01-31T10:00:00Z"])
def test_of_times_that_can_be_read_but_one_that_one_is_named(odd):
    told = [odd if row == 433 else "2020-01-31 23:59" for row in range(NUM_ROWS)]
    with pytest.raises(ContractError, match=f"as in '{odd}'; give"):
        _prepared(at=told, roles={"event_time": "at"})


def test_lists_are_refused_as_times_also_where_all_are_missing():
    with pytest.raises(ContractError, match="cannot be read as a time; give"):
        _prepared(at=pa.array([None] * NUM_ROWS, pa.list_(pa.int64())), roles={"event_time": "at"})


def test_rows_of_one_instant_are_played_in_file_order_and_that_is_said():
    prepared = _prepared(at=["2020-01-01"] * NUM_ROWS, roles={"event_time": "at"})
    assert prepared.stream.inputs["x"].to_pylist() == X.tolist()
    assert "All rows have the same at: they are played in file order." in prepared.remarks


def test_labels_that_come_with_their_rows_are_not_called_late():
    at = np.arange(NUM_ROWS)
    prepared = _prepared(at=at, told=at, roles={"event_time": "at", "label_time": "told"})
    assert not any("come late" in remark for remark in prepared.remarks)


def test_of_many_columns_a_sentence_names_the_first():
    with pytest.raises(ContractError, match=r"it has 'x', 'y', 'c0', .* and 182 more"):
        _prepared(roles={"key": "who"}, **{f"c{number}": X for number in range(200)})


def test_rows_without_a_key_repeat_nobodys():
    prepared = _prepared(who=[None if row % 2 else f"k{row}" for row in range(NUM_ROWS)], roles={"key": "who"})
    assert [remark for remark in prepared.remarks if "who" in remark] == [
        "300 rows have no who: they are played all the same."
    ]
    prepared = _prepared(who=pa.nulls(NUM_ROWS), roles={"key": "who"})
    assert any("600 rows have no who" in remark for remark in prepared.remarks)


@pytest.mark.parametrize("plainly", [pa.string(), pa.large_string()], ids=str)
@pytest.mark.parametrize("wrapped", ["view", "dictionary", "dictionary of views"])
def test_texts_are_texts_however_a_library_writes_them(wrapped, plainly):
    words = pa.array([f"w{row % 3}" if row % 5 else None for row in range(NUM_ROWS)], plainly)
    labels = pa.array(["no" if row % 2 else "yes" for row in range(NUM_ROWS)], plainly)
    write = {
        "view": lambda texts: texts.cast(pa.string_view()),
        "dictionary": lambda texts: texts.dictionary_encode(),
        "dictionary of views": lambda texts: pa.DictionaryArray.from_arrays(
            texts.dictionary_encode().indices, texts.dictionary_encode().dictionary.cast(pa.string_view())
        ),
    }[wrapped]
    prepared = _prepared(word=write(words), y=write(labels))
    assert prepared.stream.inputs["word"].to_pylist() == words.to_pylist()
    assert prepared.stream.labels.tolist() == [float(row % 2 == 0) for row in range(NUM_ROWS)]


def test_numbers_in_runs_are_numbers():
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([400, NUM_ROWS], pa.int32()), pa.array([1.0, None]))
    prepared = _prepared(z=runs)
    assert prepared.stream.inputs["z"].to_pylist() == [1.0] * 400 + [None] * 200


def test_nested_columns_of_any_kind_are_left_out_with_a_sentence():
    texts = pa.array(["a"] * NUM_ROWS, pa.string_view())
    nested = pa.StructArray.from_arrays([texts], ["word"])
    lists = pa.array([["a"]] * NUM_ROWS, pa.list_(pa.string_view()))
    prepared = _prepared(nested=nested, lists=lists, blobs=texts.cast(pa.string()).cast(pa.binary_view()))
    assert prepared.stream.inputs.column_names == ["x"]
    assert sum("neither number, text nor boolean" in remark for remark in prepared.remarks) == 3


def test_two_columns_never_get_one_name():
    prepared = _prepared(**{"event_at": X, "event_at (input)": X + 1})
    names = prepared.stream.inputs.column_names
    assert len(set(names)) == len(names) == 3
    assert prepared.stream.inputs["event_at (input)"].to_pylist() == (X + 1).tolist()


def test_labels_that_come_too_late_are_said_to():
    at = np.arange(NUM_ROWS)
    with pytest.raises(
        ContractError, match=r"0 are due with a known label.*labels of 350 of these rows are known later"
    ):
        _prepared(at=at, told=at + 10 * NUM_ROWS, roles={"event_time": "at", "label_time": "told"})


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_quantities_whose_squares_are_no_numbers_are_refused(unit):
    with pytest.raises(ContractError, match="give it in another unit"):
        _prepared(y=X * unit, roles={"task": "regression"})


def test_a_number_of_rows_below_none_is_refused():
    with pytest.raises(ContractError, match="--max-rows must be a number of rows"):
        prepare(pa.table({"x": X, "y": Y}), Roles(label="y"), first=0.3, max_rows=-1)
