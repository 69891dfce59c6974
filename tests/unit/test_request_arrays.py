"""Rows of several requests become one Arrow array a column, whatever each request brought."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.errors import ContractError
from heliostat.serving.arrow_cells import checked_array
from heliostat.serving.rows import Rows
from serve_apps.protocols.arrays import arrays_of

COLUMNS = (Number("load", 0, 100), Number("heat", -40, 70, optional=True), Category("site"))
AT = datetime(2024, 1, 1, tzinfo=UTC)


def rows(load, heat, site):
    num_rows = len(site)
    return Rows(
        values_by_column={"load": load, "heat": heat, "site": site},
        keys=["k"] * num_rows,
        event_at=[AT] * num_rows,
        due_at=[None] * num_rows,
    )


def test_rows_of_requests_follow_each_other():
    arrays = arrays_of([rows([1.0, 2.0], [3.0, 4.0], ["a", "b"]), rows([5.0], [6.0], ["c"])], COLUMNS)
    assert {name: array.to_pylist() for name, array in arrays.items()} == {
        "load": [1.0, 2.0, 5.0],
        "heat": [3.0, 4.0, 6.0],
        "site": ["a", "b", "c"],
    }
    assert [array.type for array in arrays.values()] == [pa.float64(), pa.float64(), pa.string()]


def test_a_missing_number_stays_null_and_touches_no_other_column():
    arrays = arrays_of([rows([1.0, 2.0], [None, 4.0], ["a", "b"])], COLUMNS)
    assert arrays["heat"].equals(pa.array([None, 4.0]))
    assert arrays["load"].equals(pa.array([1.0, 2.0]))


def test_arrays_and_lists_may_meet_in_one_batch():
    heat = pa.array([7.0, None])
    arrays = arrays_of([rows([1.0], [2.0], ["a"]), rows(pa.array([3.0, 4.0]), heat, pa.array(["b", "c"]))], COLUMNS)
    assert arrays["load"].to_pylist() == [1.0, 3.0, 4.0]
    assert arrays["heat"].to_pylist() == [2.0, 7.0, None]
    assert arrays["site"].to_pylist() == ["a", "b", "c"]


def test_an_array_that_is_alone_is_not_copied():
    load = pa.array([3.0, 4.0])
    assert arrays_of([rows(load, [1.0, 2.0], ["b", "c"])], COLUMNS)["load"] is load


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_of_any_width_are_kept_as_float64(kind):
    kept = checked_array(pa.array(np.array([0.5, 100.0], kind)), COLUMNS[0])
    assert kept.equals(pa.array([0.5, 100.0], pa.float64()))


@pytest.mark.parametrize("wrong", [100.5, -0.5, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_one_wrong_number_among_many_is_named(kind, wrong):
    numbers = np.linspace(0, 100, 5000).astype(kind)
    numbers[4321] = wrong
    with pytest.raises(ContractError, match=r"row 4321: column 'load'"):
        checked_array(pa.array(numbers), COLUMNS[0])
