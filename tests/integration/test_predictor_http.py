import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import normalise
from heliostat.declared.serving import Serving
from heliostat.errors import BundleError
from heliostat.ids import event_time, prediction_id
from heliostat.learn.bundle import ServedModel
from heliostat.serving.instants import instant
from heliostat.serving.routing import arm, route_of
from heliostat.store.bundles import read_bundle, write_bundle
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema, prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from tests.integration.predictor_fixture import (
    FRAGILE,
    OTHER_ENCODING,
    ROW,
    changed_toy,
    make_bundle,
    record,
    run,
    serving,
)
from tests.toy import workload

ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2 * number} for number in range(40)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    sys.path.insert(0, str(home))
    try:
        other = changed_toy(home, "toy_other", OTHER_ENCODING)
        fragile = changed_toy(home, "toy_fragile", FRAGILE)
        return {
            1: make_bundle(home, "tests.toy", seed=1),
            2: make_bundle(home, other, seed=2),
            3: make_bundle(home, fragile, seed=3),
        }
    finally:
        sys.path.remove(str(home))


def logged(home, kind, schema):
    tables = [read_segment(path, schema) for path in sealed(home / "segments" / "toy", kind)]
    return pa.concat_tables(tables).to_pylist() if tables else []


def predictions(home):
    return logged(home, "predictions", prediction_schema(workload.columns, with_commit=False))


async def until_sealed(directory):
    for kind in ("predictions", "labels"):
        while len(sealed(directory, kind)) < len(list(directory.glob(f"{kind}-*"))):
            await asyncio.sleep(0.01)


def expected(bundle, rows):
    model = ServedModel.load(read_bundle(bundle.uri, bundle.hash))
    inputs = [{column.name: row.get(column.name) for column in workload.columns} for row in rows]
    return model.answers(normalise(pa.Table.from_pylist(inputs), workload.columns))


def test_rows_are_answered_by_the_champion_and_logged(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            answer = await served.predict(*ROWS[:3], **{"X-Request-Id": "r-7"})
        assert np.allclose(answer["predictions"], expected(bundles[1], ROWS[:3]), atol=1e-6)
        assert answer["confidence"] == [max(p, 1 - p) for p in answer["predictions"]]
        assert (answer["id"], answer["model_version"], answer["degraded"]) == ("r-7", 1, False)
        at = instant(ROW["read_at"], where="")
        assert answer["ids"] == [prediction_id("caller-key/r-7", row, event_at=at) for row in range(3)]
        rows = predictions(tmp_path)
        assert [row["id"] for row in rows] == answer["ids"]
        assert [row["probability"] for row in rows] == answer["predictions"]
        assert [(row["key"], row["version"], row["arm"]) for row in rows[:1]] == [("r-0", 1, "champion")]

    run(scenario)


def test_rows_are_in_the_segment_before_the_answer_leaves(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles), rotate_after_s=60) as served:
            answer = await served.predict(*ROWS[:3])
            (segment,) = (tmp_path / "segments" / "toy").glob("predictions-*")
            content = read_segment(segment, prediction_schema(workload.columns, with_commit=False))
            assert content["id"].to_pylist() == answer["ids"]
            assert sealed(segment.parent, "predictions") == []  # still being written
        assert sealed(segment.parent, "predictions") == [segment]  # closed with the replica

    run(scenario)


def test_a_request_that_runs_twice_is_the_same_request(bundles, tmp_path):
    async def scenario():
        row = {name: ROW[name] for name in ("load_percent", "temperature_c", "site")}
        headers = {"X-Request-Id": "once", "X-Received-At-Ms": "1709287200123"}
        async with serving(workload, tmp_path, record(bundles)) as served:
            first = await served.predict(row, row, **headers)
            second = await served.predict(row, row, **headers)
        assert first["ids"] == second["ids"]
        assert len(set(first["ids"])) == 2
        assert event_time(first["ids"][0]).isoformat() == "2024-03-01T10:00:00.123000+00:00"
        rows = predictions(tmp_path)
        assert [row["key"] for row in rows] == ["once/0", "once/1"] * 2

    run(scenario)


def test_many_callers_at_once_each_get_their_own_rows(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles), max_rows_inline=2) as served:
            answers = await asyncio.gather(*(served.predict(row) for row in ROWS))
        assert np.allclose([answer["predictions"][0] for answer in answers], expected(bundles[1], ROWS), atol=1e-6)
        assert sorted(row["id"] for row in predictions(tmp_path)) == sorted(a["ids"][0] for a in answers)

    run(scenario)


def test_why_and_label_of_a_prediction(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles), rotate_after_s=0.01) as served:
            answer = await served.predict(*ROWS[:2], **{"X-Request-Id": "why"})
            await served.predict(*ROWS[:2], **{"X-Request-Id": "why"})
            identifier, other = answer["ids"]
            labels = [
                {"id": identifier, "value": 1, "at": "2024-03-02T00:00:00Z"},
                {"key": "r-1", "value": 0, "at": "2024-03-03T00:00:00Z"},
            ]
            async with served.client() as client:
                early = await client.get(f"/v1/predictions/{identifier}")
                accepted = await client.post("/v1/labels", json={"labels": labels})
            await until_sealed(served.predictor.config.segments_dir)
            lake = Lake(served.predictor.config.lake_uri)
            committer = SegmentCommitter(
                lake,
                "toy",
                directory=served.predictor.config.segments_dir,
                stream="test",
                columns=workload.columns,
            )
            committed = committer.step()
            async with served.client("viewer") as client:
                by_id = (await client.get(f"/v1/predictions/{identifier}")).json()
                by_key = (await client.get(f"/v1/predictions/{other}")).json()
                unknown = await client.get("/v1/predictions/no-id")
        assert (early.status_code, unknown.status_code) == (404, 404)
        assert accepted.json() == {"accepted": 2}
        assert (committed.num_predictions, committed.num_labels) == (2, 2)
        assert by_id["prediction"]["probability"] == answer["predictions"][0]
        assert by_id["inputs"] == {"load_percent": 0.0, "temperature_c": 3.5, "site": "alpha"}
        assert (by_id["label"]["value"], by_id["label"]["source"]) == (1.0, "http/admin-key")
        assert by_key["label"]["value"] == 0.0
        assert by_id["model_version"]["number"] == 1

    run(scenario)


def test_while_a_candidate_is_on_trial_keys_stay_with_their_version(bundles, tmp_path):
    async def scenario():
        trial = record(bundles, candidate=2, share=0.5)
        async with serving(workload, tmp_path, trial) as served:
            together = await served.predict(*ROWS)
            alone = [(await served.predict(row))["model_version"] for row in ROWS]
        arms = [arm(route_of(trial), row["reading"]) for row in ROWS]
        champion, candidate = expected(bundles[1], ROWS), expected(bundles[2], ROWS)
        assert set(arms) == {"champion", "candidate"}
        assert not np.allclose(champion, candidate, atol=0.01)
        assert together["model_versions"] == alone == [2 if which == "candidate" else 1 for which in arms]
        answers = [candidate[i] if which == "candidate" else champion[i] for i, which in enumerate(arms)]
        assert np.allclose(together["predictions"], answers, atol=1e-6)
        rows = predictions(tmp_path)[: len(ROWS)]
        assert [row["arm"] for row in rows] == arms

    run(scenario)


def test_a_candidate_that_fails_degrades_its_rows_and_fails_nobody(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=3, share=1.0)) as served:
            good = await served.predict({**ROW, "load_percent": 10})
            answer = await served.predict({**ROW, "load_percent": 95})
            status = served.predictor.status()
        assert (good["model_version"], good["degraded"]) == (3, False)
        assert (answer["model_version"], answer["degraded"]) == (1, True)
        assert status["num_errors_by_version"] == {"3": 1}
        last = predictions(tmp_path)[-1]
        assert (last["arm"], last["version"], last["degraded"]) == ("candidate", 1, True)

    run(scenario)


def test_promotion_and_rollback_swap_the_record_and_keep_the_version_before_warm(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            warm = served.predictor.live.version_by_number[1]
            await served.predictor.reconfigure(record(bundles, epoch=2, champion=2, previous=1))
            promoted = await served.predict(ROW)
            assert served.predictor.live.version_by_number[1] is warm
            await served.predictor.reconfigure(record(bundles, epoch=3, champion=1, previous=2))
            rolled_back = await served.predict(ROW)
            await served.predictor.reconfigure(record(bundles, epoch=4, champion=1))
            assert sorted(served.predictor.live.version_by_number) == [1]
        assert (promoted["model_version"], rolled_back["model_version"]) == (2, 1)

    run(scenario)


def test_an_older_record_is_refused(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, epoch=5)) as served:
            await served.predictor.reconfigure(record(bundles, epoch=4, champion=2))
            assert (await served.predict(ROW))["model_version"] == 1
            assert served.predictor.live.route.epoch == 5

    run(scenario)


def test_a_bundle_that_cannot_be_loaded_leaves_the_route_and_is_reported(bundles, tmp_path):
    async def scenario():
        altered = {**bundles, 2: replace(bundles[2], hash="0" * 64)}
        async with serving(workload, tmp_path, record(bundles)) as served:
            await served.predictor.reconfigure(record(altered, epoch=2, champion=2, previous=1))
            assert (await served.predict(ROW))["model_version"] == 1
            async with served.client("viewer") as client:
                status = (await client.get("/v1/status")).json()
            assert "BundleError" in status["last_error"]["detail"]
            assert (status["route"]["epoch"], status["loop"]) == (1, {"phase": "idle"})
            await served.predictor.reconfigure(record(bundles, epoch=3, champion=2, previous=1))
            assert served.predictor.status()["last_error"] is None

    run(scenario)


def test_a_bundle_that_comes_back_is_loaded_without_a_new_record(bundles, tmp_path):
    async def scenario():
        away = tmp_path / "away"
        late = {**bundles, 2: replace(bundles[2], uri=str(away))}
        async with serving(workload, tmp_path, record(bundles), retry_after_s=0.05) as served:
            await served.predictor.reconfigure(record(late, epoch=2, champion=2, previous=1))
            before = await served.predict(ROW)
            away.symlink_to(bundles[2].uri)
            while served.predictor.status()["last_error"]:
                await asyncio.sleep(0.02)
            after = await served.predict(ROW)
        assert (before["model_version"], after["model_version"]) == (1, 2)

    run(scenario)


def test_a_revoked_key_is_refused_even_when_the_route_cannot_change(bundles, tmp_path):
    async def scenario():
        revoked = record({1: bundles[1]}, epoch=2, champion=2) | {"keys": []}
        async with serving(workload, tmp_path, record(bundles)) as served, served.client() as client:
            before = await client.get("/v1/status")
            await served.predictor.reconfigure(revoked)
            after = await client.get("/v1/status")
            assert served.predictor.live.route.champion == 1
        assert (before.status_code, after.status_code) == (200, 401)

    run(scenario)


@pytest.mark.parametrize("change", [{"hash": "0" * 64}, {"uri": "/nowhere"}])
def test_without_a_first_route_a_replica_does_not_start(bundles, tmp_path, change):
    async def scenario():
        altered = {1: replace(bundles[1], **change)}
        with pytest.raises(BundleError):
            async with serving(workload, tmp_path, record(altered)):
                pass

    run(scenario)


def test_before_the_first_champion_nothing_is_ready(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record({}, champion=None)) as served:
            async with served.client("caller") as client:
                asked = await client.post("/v1/predict", json={"rows": [ROW]})
            async with served.client(None) as client:
                ready, live = await client.get("/v2/health/ready"), await client.get("/v2/health/live")
        assert (asked.status_code, asked.headers["Retry-After"]) == (503, "1")
        assert (ready.status_code, live.status_code) == (503, 200)

    run(scenario)


PREDICT = "/v1/predict"
INFER = "/v2/models/toy/infer"
LABELS = "/v1/labels"


@pytest.mark.parametrize(
    ("path", "content", "status", "word"),
    [
        (PREDICT, b"{", 400, "no JSON"),
        (PREDICT, b"", 400, "no JSON"),
        (PREDICT, b"\xff", 400, "no JSON"),
        (PREDICT, b"[" * 100_000, 400, "no JSON"),
        (PREDICT, b"3", 400, "rows"),
        (PREDICT, b'{"rows": []}', 400, "rows"),
        (PREDICT, b'{"rows": [1]}', 400, "rows"),
        (PREDICT, b'{"rows": [{}], "key": 3}', 400, "key"),
        (PREDICT, b'{"rows": [{}], "keys": "k"}', 400, "keys"),
        (PREDICT, b'{"rows": [{}]}', 422, "load_percent"),
        (PREDICT, b'{"rows": [{"load_percent": 300, "site": "a"}]}', 422, "300"),
        (PREDICT, b'{"rows": [{"load_percent": NaN, "site": "a"}]}', 400, "no JSON"),
        (PREDICT, b'{"rows": [{"load_percent": 1e999, "site": "a"}]}', 400, "no JSON"),
        (PREDICT, b'{"rows": [{"load_percent": 123456789012345678901234567890, "site": "a"}]}', 422, "load_percent"),
        (PREDICT, b'{"rows": [{"load_percent": {"a": 1}, "site": "a"}]}', 422, "a number"),
        (PREDICT, b'{"rows": [' + b",".join([b"{}"] * 101) + b"]}", 413, "100 rows"),
        (PREDICT, b'{"rows": [{"site": "' + b"a" * 200_000 + b'"}]}', 413, "100000 bytes"),
        (INFER, b"[]", 400, "inputs"),
        (INFER, b'{"inputs": [{"name": "load_percent", "shape": [1], "datatype": "FP64", "data": [7]}]}', 422, "site"),
        (LABELS, b'{"labels": [{"id": "x", "value": 1}]}', 422, "'x'"),
        (LABELS, b'{"labels": [{"id": "6b1d2f3e-1111-4222-8333-444455556666", "value": 1}]}', 422, "6b1d2f3e"),
        (LABELS, b'{"labels": [{"id": 3, "value": 1}]}', 422, "3"),
        (LABELS, b'{"labels": [{"key": "k", "value": 2}]}', 422, "2"),
        (LABELS, b'{"labels": [{"key": "k", "value": true}]}', 422, "True"),
        (LABELS, b'{"labels": [{"value": 1}]}', 422, "id or a key"),
        (LABELS, b'{"labels": [{"key": "k", "id": "x", "value": 1}]}', 422, "id or a key"),
        (LABELS, b'{"labels": [{"key": "k", "value": 1, "at": "now"}]}', 422, "now"),
        (LABELS, b'{"labels": [{"key": "k", "value": 1, "when": 3}]}', 422, "when"),
        (LABELS, b'{"labels": {}}', 400, "labels"),
        ("/v1/promote", b'{"version": "3"}', 400, "'3'"),
    ],
)
def test_bad_input_is_told_and_never_500(bundles, tmp_path, path, content, status, word):
    async def scenario():
        limited = replace(workload, serving=Serving(max_rows_per_request=100, max_body_bytes=100_000))
        async with serving(limited, tmp_path, record(bundles)) as served, served.client() as client:
            response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        document = response.json()
        assert document["status"] == status
        assert word in document["detail"]
        assert predictions(tmp_path) == []

    run(scenario)


def test_the_address_says_what_it_does_not_take(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client() as client:
            return [
                (await client.get("/v1/nothing")).status_code,
                (await client.get("/v1/predict")).status_code,
                (await client.post("/v1/predict", data={"rows": "x"})).status_code,
                (await client.post("/v1/predict", content=b"{}", headers=GZIPPED)).status_code,
                (await client.get("/v2/models/other")).status_code,
                (await client.get("/v2/models/toy/versions/9/ready")).status_code,
                (
                    await client.post("/v1/predict", json={"rows": [ROW]}, headers={"X-Request-Id": "x" * 300})
                ).status_code,
                (await client.post("/v1/promote", json={"version": 404})).status_code,
            ]

    assert asyncio.run(scenario()) == [404, 405, 415, 415, 404, 404, 400, 404]


LONG_ID = {"X-Request-Id": "x" * 300}
GZIPPED = {"Content-Type": "application/json", "Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("method", "path", "smallest"),
    [
        ("GET", "/v1/status", "viewer"),
        ("GET", "/docs", "viewer"),
        ("GET", "/v2", "viewer"),
        ("POST", PREDICT, "caller"),
        ("POST", LABELS, "caller"),
        ("POST", INFER, "caller"),
        ("POST", "/v1/promote", "operator"),
        ("POST", "/v1/rollback", "operator"),
        ("POST", "/v1/hold", "operator"),
    ],
)
def test_each_role_may_do_its_part_and_no_more(bundles, tmp_path, method, path, smallest):
    roles = ["viewer", "caller", "operator", "admin"]

    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            statuses = []
            for role in [None, *roles]:
                async with served.client(role) as client:
                    statuses.append((await client.request(method, path)).status_code)
        too_small = roles.index(smallest)
        assert statuses[0] == 401
        assert statuses[1 : 1 + too_small] == [403] * too_small
        assert not {401, 403} & set(statuses[1 + too_small :])

    run(scenario)


def test_steering_carries_the_name_of_the_key(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            served.steering.bundle_by_number = bundles
            async with served.client("operator") as client:
                promoted = await client.post("/v1/promote", json={"version": 2})
                await client.post("/v1/rollback")
                await client.post("/v1/hold")
            assert promoted.json() == {"action": "promote", "by": "operator-key", "result": {"champion": 2}}
            assert served.steering.asked == [
                ("promote", 2, "operator-key"),
                ("rollback", "operator-key", 1),
                ("hold", "operator-key"),
            ]

    run(scenario)


def test_a_version_that_no_replica_could_load_is_not_promoted(bundles, tmp_path):
    files = read_bundle(bundles[2].uri, bundles[2].hash)
    torn = write_bundle(str(tmp_path / "torn"), {**files, "weights.safetensors": b"torn"})
    changed = Path(write_bundle(str(tmp_path / "changed"), files).uri)
    (changed / "weights.safetensors").write_bytes(b"changed")
    bad = {2: torn, 3: replace(bundles[2], uri=str(tmp_path / "lost")), 4: replace(bundles[2], uri=str(changed))}
    held = write_bundle(str(tmp_path / "held"), files)

    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client("operator") as client:
            await served.predictor.reconfigure(record({1: bundles[1], 5: held}, epoch=2, previous=5))
            (Path(held.uri) / "weights.safetensors").write_bytes(b"changed")
            served.steering.bundle_by_number = {**bad, 5: held}
            for number in served.steering.bundle_by_number:
                refused = await client.post("/v1/promote", json={"version": number})
                assert refused.status_code == 409, refused.text
                assert f"Version {number} cannot be loaded, so nothing was changed" in refused.json()["detail"]
            assert served.steering.asked == []

    run(scenario)


def tensors(rows):
    numeric = [(name, "FP64") for name in ("load_percent", "temperature_c")]
    return [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, kind in [*numeric, ("site", "BYTES"), ("reading", "BYTES"), ("read_at", "BYTES")]
    ]


def test_tensors_and_rows_give_the_same_answer(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, previous=2)) as served:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            async with served.client("caller", **{"X-Request-Id": "same"}) as client:
                by_tensor = (await client.post(INFER, json={"id": "a", "inputs": tensors(ROWS)})).json()
                named = await client.post("/v2/models/toy/versions/2/infer", json={"inputs": tensors(ROWS)})
        values = {each["name"]: each["data"] for each in by_tensor["outputs"]}
        assert (by_tensor["model_name"], by_tensor["model_version"], by_tensor["id"]) == ("toy", "1", "a")
        assert values["probability"] == by_row["predictions"]
        assert values["id"] == by_row["ids"]
        assert named.json()["model_version"] == "2"
        assert np.allclose(named.json()["outputs"][0]["data"], expected(bundles[2], ROWS), atol=1e-6)
        assert predictions(tmp_path)[-1]["arm"] == "previous"

    run(scenario)


def test_the_document_describes_only_what_answers(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client() as client:
            document = (await client.get("/docs")).json()
            for path, operations in document["paths"].items():
                local = path.format(model="toy", version="1", id="018df74f-8400-7968-995a-8cdb5b9220a3")
                for method in operations:
                    response = await client.request(method.upper(), local)
                    assert "There is nothing at" not in response.text, path
                    assert response.status_code not in (405, 500), path
        row = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        load = row["properties"]["rows"]["items"]["properties"]["load_percent"]
        assert load == {"type": "number", "minimum": 0, "maximum": 100}

    run(scenario)


def test_what_cannot_be_logged_is_not_answered(bundles, tmp_path):
    async def scenario():
        (tmp_path / "segments").write_text("in the way")
        async with serving(workload, tmp_path, record(bundles)) as served, served.client("caller") as client:
            asked = await client.post(PREDICT, json={"rows": [ROW]})
            told = await client.post(LABELS, json={"labels": [{"key": "r-1", "value": 1}]})
        assert [response.status_code for response in (asked, told)] == [503, 503]
        assert "predictions" not in asked.json()

    run(scenario)


def test_labels_are_logged_with_their_times_and_their_source(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client("caller") as client:
            labels = [{"key": "r-1", "value": 1, "at": "2024-03-05T01:00:00+01:00"}, {"key": "r-1", "value": 0.0}]
            await client.post(LABELS, json={"labels": labels}, headers={"X-Received-At-Ms": "1709287200000"})
        first, second = logged(tmp_path, "labels", label_schema(with_commit=False))
        assert first["known_at"].isoformat() == "2024-03-05T00:00:00+00:00"
        assert second["known_at"] == second["received_at"] == first["received_at"]
        assert (first["value"], second["value"], first["source"]) == (1.0, 0.0, "http/caller-key")

    run(scenario)
