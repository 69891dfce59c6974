"""A training job whose rows are streamed, as a user submits it: from the lake to an answer."""

import httpx
import pytest

from tests import toy_quick
from tests.cluster.conftest import Installation
from tests.training.callers import ROW

MODULE, NAME = "tests.toy_streamed", "streamed"
AS_OF = "2024-03-01"
VERSIONS = (
    "[{'number': v.number, 'run': v.run_id, 'candidate': v.candidate, 'lineage': v.lineage}"
    " for v in catalog.versions('streamed')]"
)


@pytest.mark.ray
def test_a_job_that_streams_its_rows_ends_in_a_version_that_answers(installation: Installation):
    installation.bring_up_once(MODULE, since=AS_OF)
    versions = installation.in_catalog(VERSIONS)
    assert [version["candidate"] for version in versions] == ["all", "all-refit"]
    num_rows = 2 * toy_quick.workload.source.rows_per_part
    assert 0.5 * num_rows < versions[0]["lineage"]["num_rows"] < versions[1]["lineage"]["num_rows"] <= num_rows
    assert not list((installation.settings.runs_dir / "rows").glob("*")), "the rows in order are gone with the run"
    address = f"{installation.settings.http_url}/{NAME}/v1/predict"
    row = {**ROW, "reading": "m-1", "read_at": "2024-03-01T10:00:00Z", "checked_by": "2024-03-07T10:00:00Z"}
    answer = httpx.post(
        address,
        json={"rows": [row, {**row, "reading": "m-2", "load_percent": 90.0}]},
        headers={"Authorization": f"Bearer {installation.key('caller')}"},
        timeout=60.0,
    )
    answer.raise_for_status()
    calm, loaded = answer.json()["predictions"]
    assert 0 < calm < loaded < 1, "a machine under load fails more often"
    assert answer.json()["model_version"] == versions[1]["number"]
