import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.errors import BundleError
from heliostat.learn.prepare import FEW_ROWS, Preparation

WIND = Number("wind", low=-100, high=100, optional=True)
CITY = Category("city", optional=True)


def rows(wind=(), city=()):
    columns = {}
    if len(wind):
        columns["wind"] = pa.array(wind, pa.float64())
    if len(city):
        columns["city"] = pa.array(city, pa.string())
    return pa.table(columns)


def prepared_wind(train, values):
    return Preparation.fit(rows(wind=train), [WIND]).prepare(rows(wind=values))["wind"]


def prepared_city(train, values):
    return Preparation.fit(rows(city=train), [CITY]).prepare(rows(city=values))["city"].tolist()


def test_numbers_are_clamped_to_the_range_of_training():
    assert prepared_wind([1.0, 5.0], [-90.0, 1.0, 3.0, 90.0]).tolist() == [1.0, 1.0, 3.0, 5.0]


def test_a_constant_column_stays_what_it_was():
    assert prepared_wind([7.0, 7.0], [3.0, 7.0, 9.0]).tolist() == [7.0, 7.0, 7.0]


def test_missing_numbers_stay_missing_where_training_saw_them():
    assert np.isnan(prepared_wind([1.0] * 10 + [None] * 10, [None, 1.0])).tolist() == [True, False]


def test_a_missing_number_becomes_the_median_where_training_saw_none():
    assert prepared_wind([1.0, 2.0, 9.0], [None, 5.0]).tolist() == [2.0, 5.0]


def test_a_number_that_training_never_saw_is_always_missing():
    assert np.isnan(prepared_wind([None] * 20, [None, 5.0])).all()


def test_levels_get_codes_in_alphabetical_order_and_a_new_level_is_unknown():
    assert prepared_city(["rome", "oslo"] * 10, ["oslo", "rome", "lima"]) == [2, 3, 0]


def test_rare_levels_are_unknown():
    assert prepared_city(["oslo"] * 10 + ["rome"] * 9, ["oslo", "rome"]) == [2, 0]


def test_a_missing_level_has_its_own_code_only_where_training_saw_it():
    assert prepared_city(["oslo"] * 10 + [None] * 10, [None]) == [1]
    assert prepared_city(["oslo"] * 10, [None]) == [0]


def test_many_rows_get_the_same_codes_as_few():
    cities = [None if number % 7 == 0 else f"city-{min(number % 30, 20)}" for number in range(FEW_ROWS * 4)]
    preparation = Preparation.fit(rows(city=cities), [CITY], rare_below=17)
    all_at_once = preparation.prepare(rows(city=cities))["city"]
    one_by_one = [preparation.prepare(rows(city=[city]))["city"][0] for city in cities]
    assert all_at_once.tolist() == one_by_one
    assert set(one_by_one) >= {0, 1, 2}


def test_a_row_is_prepared_alike_alone_and_in_a_batch():
    table = rows(wind=[1.5, None, -3.0, 99.0] * 50, city=["oslo", None, "rome", "lima"] * 50)
    preparation = Preparation.fit(table, [WIND, CITY])
    batch, alone = preparation.prepare(table), preparation.prepare(table.slice(3, 1))
    assert {name: values[3] for name, values in batch.items()} == {name: values[0] for name, values in alone.items()}


def test_the_order_of_training_rows_changes_nothing():
    table = rows(wind=np.arange(40.0), city=["rome", "oslo", None, "lima"] * 10)
    backwards = table.take(pa.array(range(39, -1, -1)))
    assert Preparation.fit(table, [WIND, CITY]) == Preparation.fit(backwards, [WIND, CITY])


def test_json_gives_an_equal_preparation_back():
    table = rows(wind=[0.1, 1 / 3, None] * 10, city=["a", "b", None] * 10)
    preparation = Preparation.fit(table, [WIND, CITY])
    assert Preparation.from_json(preparation.to_json()) == preparation
    empty = Preparation.fit(rows(wind=[None]), [WIND])
    assert Preparation.from_json(empty.to_json()) == empty


def test_another_format_is_refused():
    with pytest.raises(BundleError, match="format 99"):
        Preparation.from_json('{"format": 99}')


def test_sizes_count_the_codes_that_can_occur():
    preparation = Preparation.fit(rows(city=["oslo"] * 10 + ["rome"] * 10), [CITY])
    assert preparation.sizes == {"city": 4}


def test_unknown_values_are_counted_and_missing_ones_are_not():
    preparation = Preparation.fit(rows(city=["oslo"] * 10), [CITY])
    assert preparation.unknown_counts(rows(city=["lima", "oslo", None, "rome"])) == {"city": 2}


def test_no_rows_give_empty_arrays():
    preparation = Preparation.fit(rows(wind=[1.0], city=["oslo"]), [WIND, CITY])
    batch = preparation.prepare(rows(wind=[1.0], city=["oslo"]).slice(0, 0))
    assert {name: len(values) for name, values in batch.items()} == {"wind": 0, "city": 0}
