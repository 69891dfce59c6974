"""All numbers at once are accepted exactly when each column alone would be, with the same values."""

import math

import pytest

from heliostat.columns import Category, Number
from heliostat.serving.cells import NumberBlock, _fast_number

COLUMNS = (Number("a", low=0, high=10), Category("c"), Number("b", low=-math.inf, high=math.inf))
BLOCK = NumberBlock(COLUMNS)


@pytest.mark.parametrize(
    "a", [[1, 2.5], [0, 10], [10.5, 1], [None, 1], [True, 1], ["1", 1], [math.nan, 1], [-0.0, 3], [10**400, 1]]
)
@pytest.mark.parametrize("b", [[1.0, -1e300], [math.inf, 0], [math.nan, 0], [2**60 + 1, 0], [10**400, 0], [[1], 0]])
def test_together_or_alone_the_same_cells_are_accepted(a, b):
    named = {"a": a, "c": ["x", "y"], "b": b}
    alone = {column.name: _fast_number(named[column.name], column) for column in COLUMNS[::2]}
    together = BLOCK.accepted(named, num_rows=2)
    assert together == (alone if None not in alone.values() else {})
    assert all(type(cell) is float for cells in together.values() for cell in cells)


def test_a_contract_without_numbers_has_nothing_to_accept():
    assert NumberBlock((Category("c"),)).accepted({"c": ["x"]}, num_rows=1) == {}
