from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from heliostat.errors import ContractError
from heliostat.intake import take
from tests import toy

MONTH = toy.Machines(rows_per_part=200).read("2024-02")
NOON = datetime(2024, 2, 15, 12, tzinfo=UTC)


def test_every_row_of_the_span_is_taken_or_rejected():
    intake = take(toy.workload, MONTH, since=None, until=NOON)
    expected = sum(at < NOON for at in MONTH["read_at"].to_pylist())
    assert intake.good.num_rows + intake.rejected.num_rows == expected > 0


def test_a_label_known_later_is_the_future_and_stays_null():
    intake = take(toy.workload, MONTH, since=None, until=NOON)
    known_at_by_key = dict(zip(MONTH["reading"].to_pylist(), MONTH["checked_at"].to_pylist(), strict=True))
    for row in intake.good.to_pylist():
        known_at = known_at_by_key[row["key"]]
        is_known = known_at is not None and known_at < NOON
        assert (row["label"] is not None) == is_known
        assert (row["label_known_at"] is not None) == is_known
    assert any(row["label"] is None for row in intake.good.to_pylist())


def test_two_spans_that_meet_share_no_row_and_lose_none():
    later = NOON + timedelta(days=30)
    first = take(toy.workload, MONTH, since=None, until=NOON).good["key"].to_pylist()
    second = take(toy.workload, MONTH, since=NOON, until=later).good["key"].to_pylist()
    assert sorted(first + second) == sorted(MONTH["reading"].to_pylist())


def test_a_row_that_breaks_the_contract_is_rejected_with_its_reason_and_the_others_go_on():
    loads = MONTH["load_percent"].to_pylist()
    loads[3] = 1e6
    broken = MONTH.set_column(MONTH.schema.get_field_index("load_percent"), "load_percent", pa.array(loads))
    intake = take(toy.workload, broken, since=None, until=datetime(2025, 1, 1, tzinfo=UTC))
    assert intake.good.num_rows == MONTH.num_rows - 1
    assert intake.rejected["key"].to_pylist() == [MONTH["reading"][3].as_py()]
    assert "load_percent" in intake.rejected["reason"][0].as_py()
    assert "1000000.0" in intake.rejected["reason"][0].as_py()


def test_a_source_without_a_declared_column_is_named():
    with pytest.raises(ContractError, match="checked_by"):
        take(toy.workload, MONTH.drop_columns(["checked_by"]), since=None, until=NOON)
