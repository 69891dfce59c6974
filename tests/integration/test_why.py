"""Why an answer was what it was: its label is the one that training joins to it."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from heliostat import cohorts
from heliostat.serving.rows import Contract
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema
from serve_apps.protocols.why import find
from tests.toy_lake import answer, rows_of
from tests.toy_quick import workload

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_a_label_that_names_a_key_is_of_its_latest_prediction_until_then_and_of_no_other(tmp_path):
    lake = Lake(str(tmp_path))
    rows = rows_of(since=START, until=START + 20 * DAY).slice(0, 3)
    asked = {"key": ["m"] * 3, "event_at": [START + hours * HOUR for hours in (2, 10, 60)]}
    for name, values in asked.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, rows.schema.field(name).type))
    ids = answer(lake, rows)
    known_at = [START + hours * HOUR for hours in (1, 5, 9, 40)]
    told = pa.table({"key": ["m"] * 4, "value": [1.0, 0.0, 1.0, 0.0], "known_at": known_at, "received_at": known_at})
    told = told.append_column("event_date", pc.cast(told["known_at"], pa.date32()))
    lake.append("toy", "labels", conform(told, label_schema()), stream="recorder", sequence=1)

    of_each = [find(one, lake=lake, workload="toy", contract=Contract.of(workload))["label"] for one in ids]
    assert [one and one["known_at"] for one in of_each] == [known_at[2], known_at[3], None]
    end = START + 99 * DAY
    joined = cohorts.joined(lake, "toy", workload.columns, since=START, until=end, known_by=end)
    label_by_id = dict(zip(joined["id"].to_pylist(), joined["label"].to_pylist(), strict=True))
    assert [one and one["value"] for one in of_each] == [label_by_id[one] for one in ids]
