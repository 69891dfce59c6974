"""A long request: the same reading as a short one, and bad rows put aside one by one."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from heliostat.bulk import requested
from heliostat.bulk.requested import Aside, RequestReader, as_table
from heliostat.errors import ContractError
from heliostat.serving.rows import Contract, RowReader
from tests.toy import workload

AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
GOOD = {"load_percent": 50, "site": "alpha"}
CONTRACT = Contract.of(workload)


def reader(max_rows=100):
    return RequestReader(reader=RowReader(CONTRACT), request_id="j", received_at=AT, aside=Aside(max_rows=max_rows))


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch):
    monkeypatch.setattr(requested, "ROWS_AT_ONCE", 4)


def test_bad_rows_are_put_aside_and_the_others_keep_their_numbers_and_order():
    bad = [{**GOOD, "load_percent": 500}, {**GOOD, "unknown": 1}, "no row at all"]
    rows = [GOOD, bad[0], GOOD, GOOD, GOOD, GOOD, bad[1], GOOD, bad[2]]
    asked = reader()
    pieces = list(asked.rows(rows))
    numbers = [piece.start + index for piece in pieces for index in range(piece.rows.num_rows)]
    assert numbers == [0, 2, 3, 4, 5, 7]
    assert sorted(asked.aside.reason_by_row) == [1, 6, 8]
    assert "load_percent" in asked.aside.reason_by_row[1]
    assert not asked.aside.reason_by_row[1].startswith("row ")


def test_rows_without_a_key_get_one_each_and_the_same_again():
    made = [[key for piece in reader().rows([GOOD] * 11) for key in piece.rows.keys] for _ in range(2)]
    assert len(set(made[0])) == 11
    assert made[0] == made[1]


def test_columns_are_read_as_rows_are():
    table = pa.table({"load_percent": [1.0, 900.0, 3.0, 4.0, 5.0], "site": ["alpha", "beta", None, "beta", "beta"]})
    asked = reader()
    tables = [as_table(piece.rows, CONTRACT.logged) for piece in asked.columns(table, start=100)]
    assert pa.concat_tables(tables)["load_percent"].to_pylist() == [1.0, 4.0, 5.0]
    assert sorted(asked.aside.reason_by_row) == [101, 102]


def test_too_many_bad_rows_fail_with_the_first_reason():
    with pytest.raises(ContractError, match=r"More than 2 rows.*the first is row 0: column 'site' is missing"):
        list(reader(max_rows=2).rows([{"load_percent": 1}] * 10))
