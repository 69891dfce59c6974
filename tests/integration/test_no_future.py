"""What is known only afterwards reaches neither the rows that are stored, nor those learned from, nor a request."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from heliostat import cohorts
from heliostat.errors import ContractError
from heliostat.intake import take
from heliostat.learn.rows import ordered
from heliostat.serving import problem
from heliostat.serving.rows import Contract, Defaults, RowReader
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, prediction_schema, raw_schema
from heliostat.traffic import DAY, Traffic
from jobs.ingest import _read_part
from tests.toy_leaky import PLANTED, workload
from workloads import flights

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
DEFAULTS = Defaults(request_id="r", received_at=AS_OF)
ROW = {"load_percent": 50, "temperature_c": 3.5, "site": "alpha"}
FLIGHT_FUTURE = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
DECLARED = [column.name for column in workload.columns]


@pytest.fixture(scope="module")
def ingested():
    batch = pa.table({"part": workload.source.parts()[:2]})
    return _read_part(batch, module="tests.toy_leaky", since=None, until=AS_OF)


def test_the_source_does_know_the_future():
    assert set(PLANTED) <= set(workload.source.read("2024-01").column_names)


def test_raw_rows_hold_the_declared_columns_and_nothing_else(ingested):
    identity = {"key", "event_at", "due_at", "label", "label_known_at", "reason", "row", "event_date"}
    assert set(ingested.column_names) == identity | set(DECLARED)
    assert not set(PLANTED) & {*raw_schema(workload.columns).names, *prediction_schema(workload.columns).names}


def test_rows_are_the_same_whether_the_source_knows_the_future_or_not():
    leaky, clean = workload.source, workload.source.clean
    found = [take(workload, source.read("2024-01"), since=None, until=AS_OF).good for source in (leaky, clean)]
    assert found[0].equals(found[1])


def test_a_rejected_row_is_kept_without_what_came_later():
    table = workload.source.read("2024-01")
    broken = table.set_column(table.column_names.index("load_percent"), "load_percent", pa.array([1e6] * len(table)))
    rejected = take(workload, broken, since=None, until=AS_OF).rejected
    assert rejected.num_rows == table.num_rows
    assert not set(PLANTED) & set(rejected.column_names)


def test_what_a_fit_learns_from_has_the_declared_columns_and_nothing_else(ingested, tmp_path):
    lake = Lake(str(tmp_path))
    lake.append("toy", "raw", conform(ingested, raw_schema(workload.columns)), stream="ingest", sequence=1)
    rows = cohorts.training_rows(lake, workload, as_of=AS_OF)
    assert rows.num_rows > 100
    assert not set(PLANTED) & set(rows.column_names)
    planted = rows.append_column(PLANTED[0], rows["label"])  # and were it there, a fit would not look at it
    assert ordered(planted, workload, purpose="training").column_names == ["key", "event_at", "label", *DECLARED]


def test_replayed_requests_carry_neither_the_label_nor_the_future():
    rows = take(workload, workload.source.read("2024-02"), since=None, until=datetime(2200, 1, 1, tzinfo=UTC)).good
    asked = [row for span in Traffic(rows).day(AS_OF - 10 * DAY) for request in span.requests for row in request.rows]
    assert asked
    assert {name for row in asked for name in row} == {"key", "event_at", "due_at", *DECLARED}


@pytest.mark.parametrize("name", [*PLANTED, workload.label.name, workload.label_time, "label", "label_known_at"])
def test_a_request_that_carries_the_future_is_refused_by_name(name):
    reader = RowReader(Contract.of(workload))
    assert reader.from_rows([ROW], DEFAULTS).num_rows == 1
    for ask in (
        lambda: reader.from_rows([ROW, {**ROW, name: 1.0}], DEFAULTS),
        lambda: reader.from_columns({column: [value] for column, value in {**ROW, name: 1.0}.items()}, DEFAULTS),
    ):
        with pytest.raises(ContractError, match=f"column '{name}' is not declared") as refused:
            ask()
        answered = problem.of(refused.value)
        assert answered.status == 422
        assert name in json.loads(answered.body(instance="r"))["detail"]


@pytest.mark.parametrize("name", [*FLIGHT_FUTURE, flights.workload.label.name])
def test_flights_are_asked_about_before_anybody_knows_how_they_went(name):
    assert name not in {column.name for column in flights.workload.columns}
    with pytest.raises(ContractError, match=f"column '{name}' is not declared"):
        RowReader(Contract.of(flights.workload)).from_rows([{name: 1.0}], DEFAULTS)
