"""Rows in bulk: every row is answered or has a reason, and an id says which run made it."""

import uuid
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from heliostat.bulk.admission import admit
from heliostat.bulk.ids import run_tag, scored_ids, tag_of
from heliostat.bulk.scored import Origin, refuse_taken, score
from heliostat.errors import ContractError, TrainingError
from heliostat.ids import event_time
from tests.toy import workload

AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
ORIGIN = Origin(run_id="toy-score-1", version=3, bundle_hash="abc", default_event_at=AT)


class Halves:
    """Answers the load as a share, and remembers how many rows it was asked at once."""

    def __init__(self):
        self.asked = []

    def answers(self, table):
        self.asked.append(table.num_rows)
        return table["load_percent"].to_numpy() / 100


def rows_with(**columns):
    return pa.table({"load_percent": [50.0, 10.0], "site": ["alpha", "beta"], **columns})


def scored(table, model=None, **options):
    fixed = {"workload": workload, "columns": workload.columns, "origin": ORIGIN, "part": 7, "batch_rows": 100}
    numbers = np.arange(1000, 1000 + table.num_rows)
    return score(table, model or Halves(), rows=numbers, **{**fixed, **options})


def test_an_id_is_a_prediction_id_with_its_event_time_and_its_run():
    at = pa.array([AT, AT], pa.timestamp("us", tz="UTC"))
    ids = scored_ids("run-a", part=5, rows=np.array([0, 2**32 - 1]), event_at=at).to_pylist()
    assert [uuid.UUID(each).version for each in ids] == [7, 7]
    assert [uuid.UUID(each).variant for each in ids] == [uuid.RFC_4122] * 2
    assert [event_time(each) for each in ids] == [AT, AT]
    assert {tag_of(each) for each in ids} == {run_tag("run-a")} != {run_tag("run-b")}


def test_no_two_rows_of_a_run_share_an_id_and_the_same_row_keeps_it():
    at = pa.array([AT] * 5000, pa.timestamp("us", tz="UTC"))
    made = [scored_ids("run-a", part=part, rows=np.arange(5000), event_at=at).to_pylist() for part in (0, 1, 1)]
    assert len(set(made[0] + made[1])) == 10_000
    assert made[1] == made[2]


def test_a_row_that_breaks_the_contract_is_put_aside_with_its_reason_and_values():
    table = pa.table({"load_percent": [50.0, 200.0, None], "site": ["alpha", None, "beta"]})
    found = scored(table)
    assert found.answers["probability"].to_pylist() == [0.5]
    assert found.rejected["row"].to_pylist() == [1001, 1002]
    assert found.rejected["part"].to_pylist() == [7, 7]
    first, second = found.rejected["reason"].to_pylist()
    assert "load_percent must lie between" in first
    assert "site must not be null" in first
    assert "load_percent must not be null" in second
    assert '"load_percent": 200.0' in found.rejected["values"][0].as_py()


def test_one_cell_of_a_text_file_that_is_no_number_costs_one_row():
    table = pa.table({"load_percent": ["50", "much", " 7 ", ""], "site": ["alpha"] * 4})
    found = scored(table)
    assert found.answers["probability"].to_pylist() == [0.5, 0.07]
    assert found.rejected["reason"].to_pylist() == [
        "load_percent must be a number; got 'much'",
        "load_percent must not be null; got None",
    ]


def test_an_event_time_that_cannot_be_read_costs_one_row():
    table = rows_with(read_at=["2024-03-01T10:00:00Z", "yesterday"])
    found = scored(table)
    assert found.answers["event_at"].to_pylist() == [AT]
    assert "read_at must be an instant; got 'yesterday'" in found.rejected["reason"][0].as_py()


def test_an_event_before_1970_has_no_id_and_so_no_answer():
    table = rows_with(read_at=pa.array([datetime(1969, 1, 1, tzinfo=UTC), AT]))
    assert scored(table).rejected["reason"].to_pylist() == ["read_at must lie from 1970 to 9999"]


def test_an_answer_says_what_it_was_made_from():
    found = scored(rows_with(reading=["r-1", None], extra=[1, 2]), carry=["extra"])
    row, other = found.answers.to_pylist()
    assert (row["key"], row["version"], row["bundle_hash"], row["run_id"]) == ("r-1", 3, "abc", "toy-score-1")
    assert (row["event_at"], row["extra"], row["site"]) == (AT, 1, "alpha")
    assert other["key"] == other["id"]


def test_the_model_is_asked_in_batches():
    model = Halves()
    table = pa.table({"load_percent": np.arange(25.0), "site": ["alpha"] * 25})
    assert scored(table, model, batch_rows=10).answers["probability"].to_pylist() == [n / 100 for n in range(25)]
    assert model.asked == [10, 10, 5]


def test_a_model_without_a_number_for_every_row_stops_the_run():
    class Silent:
        def answers(self, table):
            return np.full(table.num_rows, np.nan)

    with pytest.raises(TrainingError, match="no finite answer"):
        scored(rows_with(), Silent())


def test_nothing_good_is_still_an_answer():
    found = scored(pa.table({"load_percent": [500.0], "site": ["alpha"]}))
    assert (found.answers.num_rows, found.rejected.num_rows) == (0, 1)


@pytest.mark.parametrize(
    ("present", "carry", "words"),
    [
        (["load_percent"], [], "lacks the column 'site'"),
        (["load_percent", "site"], ["age"], "no column 'age'"),
        (["load_percent", "site", "id"], ["id"], "a column 'id' of their own"),
    ],
)
def test_an_input_that_cannot_be_scored_is_refused_before_any_work(present, carry, words):
    with pytest.raises(ContractError, match=words):
        refuse_taken(workload.columns, carry, present)


def test_an_absent_optional_column_is_missing_everywhere():
    admitted = admit(workload, rows_with(), columns=workload.columns, default_event_at=AT)
    assert admitted.inputs["temperature_c"].null_count == 2
