import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from heliostat.columns import Category, Number, violations
from heliostat.errors import ContractError
from heliostat.serving.cells import checked
from heliostat.serving.problem import MalformedError
from heliostat.serving.rows import Contract, Defaults, RowReader

LOAD = Number("load", low=0, high=100)
HEAT = Number("heat", low=-40, high=70, optional=True)
SITE = Category("site")
MODE = Category("mode", closed=("on", "off"), optional=True)
CONTRACT = Contract(columns=(LOAD, HEAT, SITE, MODE), key="machine", event_time="read_at", due_time="checked_by")
AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
DEFAULTS = Defaults(request_id="request-1", received_at=AT)
ROW = {"load": 5, "heat": 1.5, "site": "a", "mode": "on"}


def read(*rows, defaults=DEFAULTS):
    return RowReader(CONTRACT).from_rows(list(rows), defaults)


def refusal(*rows):
    with pytest.raises(ContractError) as caught:
        read(*rows)
    return str(caught.value)


def test_rows_become_columns_of_one_type():
    rows = read(ROW, {"load": 7.5, "site": "b"})
    assert rows.values_by_column == {
        "load": [5.0, 7.5],
        "heat": [1.5, None],
        "site": ["a", "b"],
        "mode": ["on", None],
    }
    assert [type(value) for value in rows.values_by_column["load"]] == [float, float]


def test_key_and_times_may_carry_the_workloads_names_or_the_general_ones():
    own = read({**ROW, "machine": "m", "read_at": "2024-03-01T13:00:00+01:00", "checked_by": "2024-03-02T00:00:00Z"})
    general = read({**ROW, "key": "m", "event_time": "2024-03-01T12:00:00Z", "due_time": "2024-03-02T00:00:00Z"})
    assert own == general
    assert (own.keys, own.event_at, own.due_at) == (["m"], [AT], [datetime(2024, 3, 2, tzinfo=UTC)])


@pytest.mark.parametrize("name", ["key", "machine"])
def test_a_key_has_a_limit_wherever_it_is_said(name):
    longest = "k" * 1000
    assert read({**ROW, name: longest}, ROW).keys == [longest, "request-1/1"]
    with pytest.raises(ContractError, match="row 1: column 'machine' may have 1000 characters; got 1001"):
        read(ROW, {**ROW, name: longest + "k"})
    with pytest.raises(ContractError, match="`key` may have 1000 characters; got 1001"):
        Defaults(request_id="request-1", received_at=AT, key=longest + "k")


def test_columns_of_different_lengths_are_named():
    with pytest.raises(MalformedError, match="'load' has 2, 'site' has 1"):
        RowReader(CONTRACT).from_columns({"load": [1, 2], "site": ["a"]}, DEFAULTS)
    for nothing in ({"load": [], "site": []}, {}):
        with pytest.raises(MalformedError, match="at least 1"):
            RowReader(CONTRACT).from_columns(nothing, DEFAULTS)


def test_what_a_row_does_not_say_comes_from_the_request_alone():
    first, second = read(ROW, ROW), read(ROW, ROW)
    assert first == second
    assert first.keys == ["request-1/0", "request-1/1"]
    assert first.event_at == [AT, AT]
    assert first.due_at == [None, None]


def test_a_key_of_the_request_is_for_rows_without_one():
    rows = read(ROW, {**ROW, "machine": "m"}, defaults=Defaults(request_id="r", received_at=AT, key="whole"))
    assert rows.keys == ["whole", "m"]


@pytest.mark.parametrize("longest_due", [timedelta(days=366), timedelta.max])
def test_a_due_time_near_the_end_of_all_dates_is_a_time_like_any_other(longest_due):
    reader = RowReader(replace(CONTRACT, longest_due=longest_due, max_event_ahead=timedelta.max))
    row = {**ROW, "read_at": "9999-12-31T00:00:00Z", "checked_by": "9999-12-31T23:59:59Z"}
    assert reader.from_rows([row], DEFAULTS).due_at == [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    with pytest.raises(ContractError, match="after the event"):
        reader.from_rows([{**row, "checked_by": "9999-12-30T00:00:00Z"}], DEFAULTS)


@pytest.mark.parametrize(
    ("limit", "said"),
    [(timedelta(days=30), "30 days"), (timedelta(hours=36), "1 day, 12:00:00"), (timedelta(0), "0 days")],
)
def test_an_event_may_lie_as_far_ahead_as_is_declared_and_not_a_second_further(limit, said):
    reader = RowReader(replace(CONTRACT, max_event_ahead=limit))
    assert reader.from_rows([{**ROW, "read_at": (AT + limit).isoformat()}], DEFAULTS).event_at == [AT + limit]
    far = (AT + limit + timedelta(seconds=1)).isoformat()
    for name in ("read_at", "event_time"):
        with pytest.raises(ContractError) as refused:
            reader.from_rows([ROW, {**ROW, name: far}], DEFAULTS)
        parts = ["row 1", "'read_at'", said, AT.isoformat(), far, "max_event_ahead"]
        assert all(part in str(refused.value) for part in parts), str(refused.value)
    columns = {"load": [1, 2], "site": ["a", "b"], "read_at": [AT.isoformat(), far]}
    with pytest.raises(ContractError, match="row 1: column 'read_at'"):
        reader.from_columns(columns, DEFAULTS)


def test_an_event_a_year_ahead_is_taken_where_nothing_is_declared_and_a_century_is_not():
    year, century = AT + timedelta(days=366), AT + timedelta(days=36_600)
    assert read({**ROW, "read_at": year.isoformat()}).event_at == [year]
    assert "366 days" in refusal({**ROW, "read_at": century.isoformat()})


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"load": 101}, ["row 1", "'load'", "101"]),
        ({"load": -0.5}, ["row 1", "'load'", "-0.5"]),
        ({"load": "12"}, ["row 1", "'load'", "a number", "'12'"]),
        ({"load": True}, ["row 1", "'load'", "a number", "True"]),
        ({"load": None}, ["row 1", "'load'", "null"]),
        ({"load": math.inf}, ["row 1", "'load'", "inf"]),
        ({"load": 10**400}, ["row 1", "'load'", "too large"]),
        ({"site": 3}, ["row 1", "'site'", "text", "3"]),
        ({"site": None}, ["row 1", "'site'", "null"]),
        ({"mode": "idle"}, ["row 1", "'mode'", "on, off", "'idle'"]),
        ({"wind": 3}, ["row 1", "'wind'", "not declared"]),
        ({"machine": 3}, ["row 1", "'machine'", "text", "3"]),
        ({"machine": ""}, ["row 1", "'machine'", "not empty"]),
        ({"read_at": "2024-03-01T00:00:00"}, ["row 1", "'read_at'", "zone", "2024-03-01T00:00:00"]),
        ({"read_at": 17}, ["row 1", "'read_at'", "17"]),
        ({"read_at": "1969-12-31T00:00:00Z"}, ["row 1", "'read_at'", "1970"]),
        ({"read_at": "9999-12-31T23:59:59-14:00"}, ["row 1", "'read_at'", "9999"]),
        ({"checked_by": "soon"}, ["row 1", "'checked_by'", "soon"]),
    ],
)
def test_a_refusal_names_the_row_the_column_and_the_value(changed, parts):
    message = refusal(ROW, {**ROW, **changed})
    assert all(part in message for part in parts), message


def test_a_column_that_is_not_sent_is_named():
    assert "row 1: column 'site' is missing" in refusal(ROW, {"load": 1})


def test_nan_is_missing():
    assert read({**ROW, "heat": math.nan}).values_by_column["heat"] == [None]
    assert "null" in refusal({**ROW, "load": math.nan})


def test_a_category_that_is_not_closed_takes_a_value_never_seen():
    assert read({**ROW, "site": "somewhere new"}).values_by_column["site"] == ["somewhere new"]


@pytest.mark.parametrize("rows", [[], [3], [ROW, None], [[1]]])
def test_rows_that_are_no_objects_are_malformed(rows):
    with pytest.raises(MalformedError, match="list of at least one object"):
        RowReader(CONTRACT).from_rows(rows, DEFAULTS)


def test_columns_and_rows_say_the_same():
    by_column = {"load": [5, 6], "heat": [1.5, None], "site": ["a", "b"], "machine": ["m", "n"]}
    by_row = [{"load": 5, "heat": 1.5, "site": "a", "machine": "m"}, {"load": 6, "site": "b", "machine": "n"}]
    assert RowReader(CONTRACT).from_columns(by_column, DEFAULTS) == read(*by_row)


@pytest.mark.parametrize(
    ("columns", "error", "word"),
    [
        ({"load": [1], "site": ["a", "b"]}, MalformedError, "same number"),
        ({"load": [], "site": []}, MalformedError, "at least 1"),
        ({"load": [1]}, ContractError, "'site' is missing"),
        ({"load": [1], "site": ["a"], "wind": [1]}, ContractError, "'wind' is not declared"),
        ({"load": [[1]], "site": ["a"]}, ContractError, "a number"),
        ({"load": [1], "site": [{}]}, ContractError, "text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, error, word):
    with pytest.raises(error, match=word):
        RowReader(CONTRACT).from_columns(columns, DEFAULTS)


VALUES = [None, 0, 1, 5.5, -41, 70, 70.1, 101, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("column", [LOAD, HEAT])
def test_the_quick_check_of_numbers_agrees_with_the_contract(column):
    generator = random.Random(0)
    for _ in range(500):
        values = [generator.choice(VALUES) for _ in range(generator.randint(1, 4))]
        table = pa.table(
            {
                column.name: pa.array(
                    [None if isinstance(v, float) and math.isnan(v) else v for v in values], pa.float64()
                )
            }
        )
        try:
            accepted = checked(values, column)
        except ContractError:
            assert violations(table, [column]), values
        else:
            assert not violations(table, [column]), values
            assert accepted == table[column.name].to_pylist()


def test_rows_that_name_nothing_are_read_as_those_that_leave_it_empty():
    empty = read({**ROW, "key": None}, ROW)
    assert read(ROW, ROW) == empty
    columns = {name: [value, value] for name, value in ROW.items()}
    assert RowReader(CONTRACT).from_columns(columns, DEFAULTS) == empty


@pytest.mark.parametrize("num_rows", [1, 3, 8192, 8193])
def test_rows_without_a_key_are_told_apart_by_their_number(num_rows):
    columns = {name: [value] * num_rows for name, value in ROW.items()}
    assert RowReader(CONTRACT).from_columns(columns, DEFAULTS).keys == [f"request-1/{row}" for row in range(num_rows)]
