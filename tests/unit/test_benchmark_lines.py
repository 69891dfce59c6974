"""What a benchmark prints: numbers stand above the names of their own columns."""

from benchmarks.watching.shown import lines


def test_rows_of_other_columns_have_their_own_names_below_them():
    told = {"a": {"to 5%": 1.0, "to 20%": 2}, "b": {"to 5%": 3.0, "to 20%": 4}, "c": {"to 10%": "never"}}
    shown = [line.split() for line in lines(told)]
    assert shown == [["a", "1.0", "2"], ["b", "3.0", "4"], ["to", "5%", "to", "20%"], ["c", "never"], ["to", "10%"]]


def test_long_names_do_not_run_together():
    (_, names) = lines({"a": {"a hold-out of many rows": 1, "a hold-out of few rows": 2}})
    assert "many rows  a hold-out of few rows" in names
