"""The contract of rows: what is normalised, what breaks it, and that no row is lost."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Category, Number
from heliostat.columns import normalise, split, violations
from heliostat.errors import ContractError, WorkloadError
from heliostat.serving.arrow_cells import kept

LOAD = Number("load", low=0, high=100)
HEAT = Number("heat", low=-40, high=70, optional=True)
SITE = Category("site")
KIND = Category("kind", closed=("new", "old"), optional=True)
COLUMNS = (LOAD, HEAT, SITE, KIND)


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


def said(rows: pa.Table) -> list[tuple[int, str]]:
    return [(one.row, one.column) for one in violations(normalise(rows, COLUMNS), COLUMNS)]


def test_columns_come_in_declared_order_with_declared_types():
    found = normalise(table(site=["a"], extra=[1], kind=["new"], heat=[5], load=[1]), COLUMNS)
    assert found.schema.names == ["load", "heat", "site", "kind"]
    assert found.schema.types == [pa.float64(), pa.float64(), pa.string(), pa.string()]


def test_not_a_number_becomes_null():
    found = normalise(table(load=[math.nan, 1.0], heat=[None, math.nan], site=["a", "b"]), COLUMNS)
    assert found["load"].to_pylist() == [None, 1.0]
    assert found["heat"].to_pylist() == [None, None]


def test_an_absent_optional_column_is_null_and_an_absent_other_one_is_refused():
    assert normalise(table(load=[1.0], site=["a"]), COLUMNS)["heat"].to_pylist() == [None]
    with pytest.raises(ContractError, match="'site' is missing; the rows have"):
        normalise(table(load=[1.0]), COLUMNS)


def test_a_column_of_another_kind_is_refused_with_its_name():
    with pytest.raises(ContractError, match="'load' must be a number"):
        normalise(table(load=["much"], site=["a"]), COLUMNS)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float32(), pa.float64()])
def test_numbers_of_any_width_are_numbers(kind):
    found = normalise(pa.table({"load": pa.array([1, None], kind), "site": ["a", "b"]}), COLUMNS)
    assert found["load"].to_pylist() == [1.0, None]


def test_dictionaries_and_large_strings_are_text():
    for values in (pa.array(["a", None]).dictionary_encode(), pa.array(["a", None], pa.large_string())):
        assert normalise(pa.table({"load": [1.0, 2.0], "site": values}), COLUMNS)["site"].to_pylist() == ["a", None]


def test_no_rows_keep_every_contract():
    empty = normalise(table(load=pa.array([], pa.float64()), site=pa.array([], pa.string())), COLUMNS)
    assert empty.num_rows == 0
    assert violations(empty, COLUMNS) == []
    good, rejected = split(empty, COLUMNS)
    assert (good.num_rows, rejected.num_rows) == (0, 0)
    assert "reason" in rejected.column_names


def test_the_ends_of_a_range_are_inside_it():
    rows = table(load=[0.0, 100.0, -0.001, 100.001, math.inf, -math.inf], site=["a"] * 6)
    assert said(rows) == [(2, "load"), (3, "load"), (4, "load"), (5, "load")]


def test_missing_breaks_the_contract_only_where_it_is_not_optional():
    rows = table(load=[None, 1.0, math.nan], heat=[None, 1.0, 1.0], site=["a", None, "b"], kind=[None, None, None])
    assert said(rows) == [(0, "load"), (2, "load"), (1, "site")]


def test_a_new_value_breaks_a_closed_column_only():
    assert said(table(load=[1.0, 1.0], site=["never seen", "a"], kind=["new", "used"])) == [(1, "kind")]


def test_a_violation_says_row_column_value_and_reason():
    rows = normalise(table(load=[1.0, 120.0], site=["a", "b"]), COLUMNS)
    [found] = violations(rows, COLUMNS)
    assert str(found) == "row 1: column 'load' must lie between 0 and 100; got 120.0"


def test_a_row_with_two_faults_is_rejected_once_with_both_reasons():
    good, rejected = split(table(load=[500.0, 1.0], site=[None, "a"], key=["x", "y"]), COLUMNS)
    assert good["key"].to_pylist() == ["y"]
    assert rejected["key"].to_pylist() == ["x"]
    assert rejected["reason"].to_pylist() == [
        "load must lie between 0 and 100; got 500.0; site must not be null; got None"
    ]


@pytest.mark.parametrize("seed", range(10))
def test_splitting_loses_no_row_and_agrees_with_plain_loops(seed):
    random = np.random.default_rng(seed)
    load = [float(x) if x < 130 else None for x in random.uniform(-30, 150, 200)]
    kind = random.choice(["new", "old", "used", None], 200).tolist()
    rows = pa.concat_tables(
        table(
            key=list(range(part, part + 50)), load=load[part : part + 50], site=["a"] * 50, kind=kind[part : part + 50]
        )
        for part in range(0, 200, 50)
    )
    good, rejected = split(rows, COLUMNS)
    keeps = [x is not None and 0 <= x <= 100 and k in ("new", "old", None) for x, k in zip(load, kind, strict=True)]
    assert good["key"].to_pylist() == [key for key in range(200) if keeps[key]]
    assert rejected["key"].to_pylist() == [key for key in range(200) if not keeps[key]]
    assert all(rejected["reason"].to_pylist())


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1, 1, "low must be below high"),
        (2, 1, "low must be below high"),
        (math.nan, 1, "low takes a number, and this is"),
    ],
)
def test_a_range_without_room_is_refused(low, high, said):
    with pytest.raises(WorkloadError, match=said):
        Number("load", low=low, high=high)


def test_a_closed_column_must_allow_something():
    with pytest.raises(WorkloadError, match="allows nothing"):
        Category("kind", closed=())


def test_infinity_is_no_number_of_a_row_however_wide_the_range_is():
    column = Number("x", low=-math.inf, high=math.inf)
    table = pa.table({"x": pa.array([1.0, math.inf, None, -math.inf])})
    assert [found.row for found in violations(table, [replace(column, optional=True)])] == [1, 3]
    for cells in ([math.inf], pa.array([math.inf]), pa.array([-math.inf])):
        with pytest.raises(ContractError, match=r"must lie between -inf and inf; got -?inf"):
            kept(cells, column)
    assert kept(pa.array([-1e308, 1e308]), column).to_pylist() == [-1e308, 1e308]
