"""A long request: the same reading as a short one, and bad rows put aside one by one."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from heliostat.bulk import requested
from heliostat.bulk.requested import Aside, RequestReader, as_table
from heliostat.errors import ContractError
from heliostat.serving.revisions import Revisions
from heliostat.serving.rows import Contract
from tests import toy_revised
from tests.toy import workload

AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
GOOD = {"load_percent": 50, "site": "alpha"}
CONTRACT = Contract.of(workload)


def reader(max_rows=100, contract=CONTRACT, revision=None, at=AT):
    return RequestReader(
        revisions=Revisions(contract, docs="/toy/docs"),
        revision=revision,
        by="caller-key",
        request_id="j",
        received_at=at,
        aside=Aside(max_rows=max_rows),
    )


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


REVISED = Contract.of(toy_revised.workload)
OLD = {"load_percent": 50, "temperature_c": 3.5, "site": "alpha"}
NEW = {"load_percent": 50, "plant": "alpha", "shift": "night"}


def revisions_of(asked, rows):
    return [piece.rows.revision for piece in asked.rows(rows) for _ in range(piece.rows.num_rows)]


def test_rows_of_both_revisions_are_read_in_one_request():
    asked = reader(contract=REVISED)
    assert sorted(revisions_of(asked, [OLD, NEW, OLD, NEW, NEW])) == [1, 1, 2, 2, 2]
    assert asked.aside.reason_by_row == {}


def test_a_revision_that_is_named_holds_every_row_to_it():
    asked = reader(contract=REVISED, revision=2)
    assert revisions_of(asked, [OLD, NEW]) == [2]
    assert list(asked.aside.reason_by_row) == [0]


def test_rows_of_a_retired_revision_are_put_aside_with_what_to_change():
    asked = reader(contract=REVISED, at=datetime(2024, 8, 1, tzinfo=UTC))
    assert revisions_of(asked, [OLD, NEW]) == [2]
    assert "retired" in asked.aside.reason_by_row[0]


def test_other_columns_of_a_table_do_not_matter_where_they_are_fine():
    table = pa.table({**{name: [value] for name, value in OLD.items()}, "remark": ["new here"]})
    asked = reader(contract=REVISED)
    assert [piece.rows.revision for piece in asked.columns(table, others_are_fine=True)] == [1]
    assert list(asked.columns(table)) == []
    assert "remark" in asked.aside.reason_by_row[0]
