"""A table scored by a submitted job: every row answered or put aside, once, and found again by its id."""

import json
import urllib.request

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.cluster.conftest import Installation
from tests.toy import Machines

MODULE, NAME = "tests.toy", "toy"
SINCE = "2024-03-01"


def get(installation, path):
    url = f"{installation.settings.http_url}/{NAME}/{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {installation.key('viewer')}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


@pytest.mark.ray
def test_a_table_is_scored_once_and_every_row_is_found_by_its_id(installation: Installation, tmp_path, wait_until):
    installation.bring_up_once(MODULE, since=SINCE)
    rows = pa.concat_tables([Machines().read(month) for month in ("2024-03", "2024-04", "2024-05")])
    rows = rows.set_column(4, "load_percent", pa.array([-5.0, *rows["load_percent"].to_pylist()[1:]]))
    pq.write_table(rows, tmp_path / "in.parquet", row_group_size=1000)
    options = ("--input", str(tmp_path / "in.parquet"), "--output", str(tmp_path / "out"), "--columns", "checked_by")
    result = installation.run("score", MODULE, *options)
    assert (result["rows"], result["rejected"]) == (rows.num_rows - 1, 1)
    answers = DeltaTable(tmp_path / "out").to_pyarrow_dataset().to_table()
    assert sorted(answers["key"].to_pylist()) == sorted(rows["reading"].to_pylist()[1:])
    assert len(set(answers["id"].to_pylist())) == answers.num_rows

    again = installation.run("score", MODULE, *options)
    assert (again["already"], again["run"]) == (True, result["run"])
    assert DeltaTable(tmp_path / "out").version() == 0

    row = answers.slice(7, 1).to_pylist()[0]
    # On a busy machine the lineage may come too late for one answer, which then says so.
    why = wait_until(
        lambda: (found := get(installation, f"v1/predictions/{row['id']}"))["model_version"].get("lineage") and found,
        30,
    )
    assert why["scored_by"]["run_id"] == result["run"]
    assert why["prediction"]["probability"] == row["probability"]
    assert why["model_version"]["bundle_hash"] == result["bundle_hash"] == row["bundle_hash"]
