"""Two revisions of one contract behind one address: every protocol, versions trained before and after, one log."""

import asyncio
import importlib
import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from heliostat import cohorts
from heliostat.answer_jobs import AnswerJob
from heliostat.errors import BundleError
from heliostat.learn.bundle import to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.serving.arrow_stream import ARROW, read_stream, write_stream
from heliostat.settings import Settings
from heliostat.store.answer_folder import AnswerFolder
from heliostat.store.bundles import write_bundle
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, prediction_schema, raw_schema
from serve_apps.engine.answering import Worker
from tests import toy, toy_revised
from tests.integration.predictor_fixture import ROW, make_bundle, record, serving
from tests.toy_rows import LAKE_NAMES, lake_rows

workload = toy_revised.workload
AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
BEFORE_SUNSET, AFTER_SUNSET = (
    {"X-Received-At-Ms": str(int(at.timestamp() * 1000))} for at in (AT, datetime(2024, 7, 1, tzinfo=UTC))
)
OLD = ROW
NEW = {"reading": "r-2", "read_at": ROW["read_at"], "load_percent": 50, "plant": "alpha", "shift": "night"}


def revised_bundle(home):
    """A version that was trained under revision 2, partly on rows from before it."""
    table = toy_revised.Machines(rows_per_part=600).read("2024-01")
    rows = table.rename_columns([LAKE_NAMES.get(name, name) for name in table.column_names])
    train, validation = split_by_time(rows.filter(pa.compute.is_valid(rows["label"])), share=0.2)
    module = "tests.toy_revised"
    fitted = fit(importlib.import_module(module).workload, train, validation, seed=2)
    return write_bundle(str(home / "bundles"), to_files(module, fitted, profile={}, lineage={"seed": 2}))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("revisions")
    return {1: make_bundle(home, "tests.toy", seed=1), 2: revised_bundle(home)}


def asking(scenario, bundles, home, **route):
    async def whole():
        async with (
            serving(workload, home, record(bundles, **route)) as served,
            served.client("caller", **BEFORE_SUNSET) as client,
        ):
            return await scenario(client, served)

    return asyncio.run(whole())


def tensor(name, datatype, values):
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


def tensors(row):
    values = {name: value for name, value in row.items() if name not in ("reading", "read_at")}
    return {
        "inputs": [tensor(name, "BYTES" if isinstance(v, str) else "FP64", [v]) for name, v in values.items()],
        "outputs": [{"name": "probability"}],
    }


def stream(row):
    arrays = {name: pa.array([value]) for name, value in row.items()}
    return write_stream(arrays, metadata={})


async def ask(client, protocol, row, **headers):
    """The status, the probability and the response, in one of the three protocols."""
    if protocol == "rows":
        response = await client.post("/v1/predict", json={"rows": [row]}, headers=headers)
        return response, response.json().get("predictions")
    if protocol == "arrow":
        headers = {"Content-Type": ARROW, "Accept": ARROW, **headers}
        response = await client.post("/v1/predict", content=stream(row), headers=headers)
        columns = read_stream(response.content, max_rows=9, max_bytes=9999) if response.status_code == 200 else {}
        return response, columns["probability"].to_pylist() if columns else None
    response = await client.post("/v2/models/toy/infer", json=tensors(row), headers=headers)
    return response, response.json()["outputs"][0]["data"] if response.status_code == 200 else None


@pytest.mark.parametrize("protocol", ["rows", "arrow", "tensors"])
@pytest.mark.parametrize("champion", [1, 2])
def test_clients_of_both_revisions_are_answered_by_versions_of_both(bundles, tmp_path, protocol, champion):
    async def scenario(client, _):
        return [await ask(client, protocol, row) for row in (OLD, NEW)]

    (old, old_answer), (new, new_answer) = asking(scenario, bundles, tmp_path, champion=champion)
    assert (old.status_code, new.status_code) == (200, 200), (old.text, new.text)
    assert 0 < old_answer[0] < 1
    assert 0 < new_answer[0] < 1
    assert (old.headers["x-contract-revision"], new.headers["x-contract-revision"]) == ("1", "2")
    assert old.headers["deprecation"] == "@1704067200"
    assert old.headers["sunset"] == "Mon, 01 Jul 2024 00:00:00 GMT"
    assert old.headers["link"] == '</toy/docs>; rel="deprecation"'
    assert not {"deprecation", "sunset"} & set(new.headers)


@pytest.mark.parametrize("protocol", ["rows", "arrow", "tensors"])
def test_a_retired_revision_is_gone(bundles, tmp_path, protocol):
    async def scenario(client, _):
        unnamed, _ = await ask(client, protocol, OLD, **AFTER_SUNSET)
        named, _ = await ask(client, protocol, OLD, **AFTER_SUNSET, **{"X-Contract-Revision": "1"})
        current, _ = await ask(client, protocol, NEW, **AFTER_SUNSET)
        return unnamed, named, current

    *gone, current = asking(scenario, bundles, tmp_path)
    assert current.status_code == 200
    for response in gone:
        assert response.status_code == 410
        assert response.headers["content-type"] == "application/problem+json"
        assert "add 'shift', leave 'temperature_c' out, call 'site' 'plant'" in response.json()["detail"]


def test_an_old_client_gets_what_it_got_before_the_revision(bundles, tmp_path):
    async def before():
        async with serving(toy.workload, tmp_path / "before", record(bundles)) as served:
            return await served.predict(OLD)

    async def scenario(client, _):
        return (await client.post("/v1/predict", json={"rows": [OLD]})).json()

    first, after = asyncio.run(before()), asking(scenario, bundles, tmp_path / "after")
    assert after["predictions"] == first["predictions"]
    assert after.keys() == first.keys()


def test_promotion_and_rollback_cross_the_revision(bundles, tmp_path):
    async def scenario(client, served):
        answers = []
        for epoch, champion in enumerate((1, 2, 1), start=2):
            await served.predictor.reconfigure(record(bundles, epoch=epoch, champion=champion, previous=3 - champion))
            assert served.predictor.status()["last_error"] is None
            answers.append([(await ask(client, "rows", row))[1][0] for row in (OLD, NEW)])
        return np.array(answers)

    first, second, third = asking(scenario, bundles, tmp_path)
    assert np.array_equal(first, third)
    assert not np.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("candidate", [1, 2])
def test_a_trial_across_the_revision_answers_every_row(bundles, tmp_path, candidate):
    async def scenario(client, _):
        for row in (OLD, NEW):
            assert (await ask(client, "rows", row))[0].json()["degraded"] is False

    asking(scenario, bundles, tmp_path, champion=3 - candidate, candidate=candidate, share=1.0)
    rows = logged(tmp_path)
    assert (rows["arm"].to_pylist(), rows["version"].to_pylist()) == (["candidate"] * 2, [candidate] * 2)


def logged(home):
    """What the recorder puts into the lake."""
    lake = Lake(str(home / "lake"))
    columns = workload.logged_columns
    committer = SegmentCommitter(lake, "toy", directory=home / "segments" / "toy", stream="r", columns=columns)
    committer.step()
    committer.close()
    return lake.read("toy", "predictions", schema=prediction_schema(columns)).sort_by("revision")


def test_both_revisions_are_logged_in_one_table(bundles, tmp_path):
    async def scenario(client, _):
        await ask(client, "rows", NEW)
        await ask(client, "arrow", OLD)

    asking(scenario, bundles, tmp_path)
    wanted = ["revision", "load_percent", "temperature_c", "plant", "shift"]
    assert [list(row.values()) for row in logged(tmp_path).select(wanted).to_pylist()] == [
        [1, 50.0, 3.5, "alpha", "day"],
        [2, 50.0, None, "alpha", "night"],
    ]


def test_rows_from_before_the_revision_are_learned_from(tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    rows = lake_rows("2024-01", rows_per_part=50)
    dated = rows.append_column("event_date", rows["event_at"].cast(pa.date32()))
    lake.append("toy", "raw", conform(dated, raw_schema(toy.workload.columns)), stream="ingest", sequence=1)
    found = cohorts.training_rows(lake, workload, as_of=datetime(2024, 3, 1, tzinfo=UTC))
    assert found.num_rows > 40
    assert found["plant"].null_count == 0
    assert set(found["shift"].to_pylist()) == {"day"}
    assert "site" not in found.column_names


@pytest.mark.parametrize("champion", [1, 2])
def test_a_long_answer_comes_from_versions_of_before_and_after(bundles, tmp_path, champion):
    settings = Settings(home=tmp_path)
    folder = AnswerFolder.of(settings.lake_uri, "toy", "j")
    folder.put_request("d", json.dumps({"rows": [NEW]}).encode())
    fixed = {"by": "caller-key", "digest": "d", "media_type": "application/json", "input_uri": None}
    at = {"created_at": AT, "expires_at": AT, "callback_url": None}
    job = AnswerJob(job_id="j", workload="toy", folder=folder.uri, attempt=1, version=champion, **fixed, **at)
    outcome = Worker("tests.toy_revised", settings).answer(job, bundles[champion])
    assert outcome == {"num_rows": 1, "num_rejected": 0}
    said = pa.ipc.open_stream(folder.result(1)).read_all()["probability"].to_pylist()

    async def online(client, _):
        return (await ask(client, "rows", NEW))[1]

    assert said == pytest.approx(asking(online, bundles, tmp_path, champion=champion), abs=1e-6)


def test_metadata_and_status_say_which_revisions_there_are(bundles, tmp_path):
    async def scenario(client, _):
        await ask(client, "rows", OLD)
        old = await client.get("/v2/models/toy", headers={"X-Contract-Revision": "1"})
        new = await client.get("/v2/models/toy")
        infer = await client.post("/v2/models/toy/infer", json=tensors(OLD))
        return old, new, infer.json(), (await client.get("/v1/status")).json()

    old, new, infer, status = asking(scenario, bundles, tmp_path)
    assert "temperature_c" in [one["name"] for one in old.json()["inputs"]]
    assert [one["name"] for one in new.json()["inputs"][:3]] == ["load_percent", "plant", "shift"]
    assert (old.headers["deprecation"], "deprecation" in new.headers) == ("@1704067200", False)
    assert old.json()["parameters"]["deprecated"] is infer["parameters"]["deprecated"] is True
    assert new.json()["parameters"] == {"contract_revision": 2, "deprecated": False}
    assert status["revisions"][1]["num_requests_by_key"] == {"caller-key": 2}


def test_a_workload_of_one_revision_says_nothing_of_it(bundles, tmp_path):
    async def scenario():
        async with (
            serving(toy.workload, tmp_path, record({1: bundles[1]}, champion=1)) as served,
            served.client("caller") as client,
        ):
            answer, _ = await ask(client, "rows", OLD)
            unknown, _ = await ask(client, "rows", OLD, **{"X-Contract-Revision": "2"})
            return answer, unknown, (await client.get("/v2/models/toy")).json()

    answer, unknown, metadata = asyncio.run(scenario())
    assert not {"x-contract-revision", "deprecation"} & set(answer.headers)
    assert (unknown.status_code, "must be one of 1" in unknown.json()["detail"]) == (400, True)
    assert "parameters" not in metadata


def test_a_version_whose_column_no_revision_has_does_not_load(bundles, tmp_path):
    forgotten = toy_revised.replace(workload, earlier=())

    async def scenario():
        with pytest.raises(BundleError, match=r"needs the columns \['site'\].*earlier"):
            async with serving(forgotten, tmp_path, record(bundles, champion=1)):
                pass

    asyncio.run(scenario())


def test_the_document_describes_every_revision(bundles, tmp_path):
    async def scenario(client, _):
        return (await client.get("/docs")).json()

    body = asking(scenario, bundles, tmp_path)["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    current, first = body["application/json"]["schema"]["properties"]["rows"]["anyOf"]
    assert (current.get("deprecated"), first["deprecated"]) == (None, True)
    assert "temperature_c" in first["items"]["properties"]
    assert json.dumps(body).count("2024-07-01") >= 1
