"""Numbers as people write them: read as they were meant, or refused in one sentence."""

import pytest

from heliostat.errors import ContractError
from jobs._simulation_input import read


def _read(path, text):
    path.write_text(text)
    return read(path).to_pydict()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_points_part_thousands_where_a_comma_is_the_decimal_mark(tmp_path, delimiter):
    lines = ["price;sold;share;y", "1.234,56;999;0,5;0", "12,00;1.000;0,25;1", "-1.000.000,5;12.345;,125;0"]
    found = _read(tmp_path / "a.csv", "\n".join(lines).replace(";", delimiter))
    assert found == {
        "price": [1234.56, 12.0, -1000000.5],
        "sold": [999.0, 1000.0, 12345.0],
        "share": [0.5, 0.25, 0.125],
        "y": [0, 1, 0],
    }


def test_commas_part_thousands_where_a_point_is_the_decimal_mark(tmp_path):
    found = _read(tmp_path / "a.csv", "price;sold\n1,234.56;999\n12.5;1,000\n")
    assert found == {"price": [1234.56, 12.5], "sold": [999.0, 1000.0]}


def test_in_a_file_with_commas_quoted_ones_part_thousands(tmp_path):
    found = _read(tmp_path / "a.csv", 'price,sold,word\n"1,234.56",999,"a, b"\n12.5,"1,000",c\n')
    assert found == {"price": [1234.56, 12.5], "sold": [999.0, 1000.0], "word": ["a, b", "c"]}


def test_what_was_read_before_is_read_as_before(tmp_path):
    assert _read(tmp_path / "a.csv", "x;y\n1.234;0\n999;1\n") == {"x": [1.234, 999.0], "y": [0, 1]}
    assert _read(tmp_path / "b.csv", "x;y\n1,234;0\n2,500;1\n") == {"x": [1.234, 2.5], "y": [0, 1]}
    assert _read(tmp_path / "c.csv", "at;y\n01.02.2020;0,5\n11.12.2021;1,5\n")["at"] == ["01.02.2020", "11.12.2021"]


def test_each_column_may_have_a_decimal_mark_of_its_own(tmp_path):
    found = _read(tmp_path / "a.csv", "x;y;z\n1.5;0,5;1.e3\n2.25;1,5;2.\n")
    assert found == {"x": [1.5, 2.25], "y": [0.5, 1.5], "z": [1000.0, 2.0]}


def test_marks_of_missing_values_stay_beside_plain_numbers(tmp_path):
    rows = "\n".join(["1.234,5;0", "?;1", *["2,5;1"] * 20])
    assert _read(tmp_path / "a.csv", f"x;y\n{rows}\n")["x"] == ["1234.5", "?", *["2.5"] * 20]


@pytest.mark.parametrize(
    "text", ["x;y\n999;0\n1,234;1\n", "x;y;a;b\n999;0;1.5;1,5\n1.234;1;2.5;2,5\n"], ids=["alone", "others differ"]
)
def test_a_number_that_may_be_a_thousand_times_the_other_reading_is_refused(tmp_path, text):
    with pytest.raises(ContractError, match=r"Column 'x' has values such as '1[,.]234', which may be 1.* take out"):
        _read(tmp_path / "a.csv", text)
