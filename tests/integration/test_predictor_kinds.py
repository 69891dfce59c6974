"""Classes and quantities over every protocol, logged, committed, labelled, watched and compared; no Ray."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from actors.trial import compared
from heliostat import cohorts
from heliostat.columns import Number
from heliostat.declared.serving import Serving
from heliostat.errors import BundleError
from heliostat.labels import Classes, Quantity
from heliostat.serving.arrow_stream import ARROW
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.serving.rows import Contract
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.profile import Profile
from serve_apps.engine.versions import load_version
from serve_apps.protocols.schemas import infer_body, predict_body
from serve_apps.protocols.why import find
from tests import toy_kinds
from tests.integration.grpc_fixture import grpc_client
from tests.integration.kinds_fixture import bundle_of
from tests.integration.predictor_fixture import ROW, record, run, serving
from tests.integration.test_predictor_http import until_sealed
from tests.integration.test_shadow import settled

ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2 * number} for number in range(40)]
LATER = datetime(2200, 1, 1, tzinfo=UTC)
NAMES = ("wear", "cause")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Two versions of each workload."""
    home = tmp_path_factory.mktemp("bundles")
    return {name: {seed: bundle_of(home, f"tests.toy_{name}", seed=seed) for seed in (1, 2)} for name in NAMES}


@pytest.fixture(params=NAMES)
def asked(request, bundles):
    return getattr(toy_kinds, request.param), bundles[request.param]


def told(workload, answer):
    """An answer's own columns, as `v1/predict` names them."""
    names = list(workload.task.told_types)
    return {name: answer["predictions" if name == names[0] else name] for name in names}


def test_json_arrow_tensors_and_grpc_give_the_same_answers(asked, tmp_path):
    workload, versions = asked
    names = [name for name, _ in workload.task.told_types.items()]
    columns = {column.name: [row.get(column.name) for row in ROWS] for column in workload.columns}
    tensors = [
        {"name": "load_percent", "datatype": "FP64", "shape": [40], "data": columns["load_percent"]},
        {"name": "temperature_c", "datatype": "FP64", "shape": [40], "data": columns["temperature_c"]},
        {"name": "site", "datatype": "BYTES", "shape": [40], "data": columns["site"]},
    ]

    async def scenario():
        async with serving(workload, tmp_path, record(versions)) as served:
            answer = told(workload, await served.predict(*ROWS))
            async with served.client("caller", Accept=ARROW) as client:
                arrow = await client.post("/v1/predict", json={"rows": ROWS})
                plain = await client.post(f"/v2/models/{workload.name}/infer", json={"inputs": tensors})
                described = (await client.get(f"/v2/models/{workload.name}")).json()
            stream = pa.ipc.open_stream(io.BytesIO(arrow.content)).read_all()
            assert {name: stream[name].to_pylist() for name in names} == answer
            outputs = {one["name"]: one for one in plain.json()["outputs"]}
            shapes = {one["name"]: one["shape"] for one in described["outputs"]}
            for name in names:
                values = np.array(answer[name])
                assert outputs[name]["shape"] == list(values.shape)
                assert outputs[name]["data"] == values.reshape(-1).tolist()
                assert shapes[name] == [-1, *values.shape[1:]]
            async with grpc_client(served.predictor) as call:
                inputs = [
                    pb.ModelInferRequest.InferInputTensor(
                        name=name,
                        datatype="BYTES" if name == "site" else "FP64",
                        shape=[40],
                        contents=pb.InferTensorContents(
                            **{"bytes_contents": [text.encode() for text in columns[name]]}
                            if name == "site"
                            else {"fp64_contents": columns[name]}
                        ),
                    )
                    for name in columns
                ]
                said = await call("ModelInfer", model_name=workload.name, inputs=inputs)
            first = next(one for one in said.outputs if one.name == names[0])
            given = first.contents.bytes_contents or first.contents.fp64_contents
            assert [one.decode() if isinstance(one, bytes) else one for one in given] == answer[names[0]]

    run(scenario)


def test_answers_look_as_their_kind_does(bundles, tmp_path):
    async def scenario():
        async with serving(toy_kinds.wear, tmp_path, record(bundles["wear"])) as served:
            wear = await served.predict(*ROWS)
        assert all(a <= b <= c for a, b, c in zip(wear["low"], wear["predictions"], wear["high"], strict=True))
        assert "confidence" not in wear
        assert np.corrcoef(wear["predictions"], range(40))[0, 1] > 0.9
        async with serving(toy_kinds.cause, tmp_path, record(bundles["cause"])) as served:
            cause = await served.predict(*ROWS)
        assert set(cause["predictions"]) <= set(toy_kinds.CAUSES)
        assert np.array(cause["probabilities"]).sum(axis=1) == pytest.approx(1.0)
        assert cause["confidence"] == [max(row) for row in cause["probabilities"]]

    run(scenario)


def test_labels_are_taken_by_kind_and_end_as_scores(asked, tmp_path):
    workload, versions = asked
    good, bad, sentence = {
        "wear": ([300.5] * 40, -5, "value must be a finite number of at least 0; got -5"),
        "cause": (["heat"] * 40, "rust", "value must be one of 'none', 'heat', 'cold'; got 'rust'"),
    }[workload.name]
    task = workload.task

    async def scenario():
        async with serving(workload, tmp_path, record(versions)) as served:
            answer = await served.predict(*ROWS)
            labels = [{"id": one, "value": value} for one, value in zip(answer["ids"], good, strict=True)]
            async with served.client("caller") as client:
                refused = await client.post("/v1/labels", json={"labels": [{**labels[0], "value": bad}]})
                taken = await client.post("/v1/labels", json={"labels": labels})
            assert refused.status_code == 422
            assert sentence in refused.json()["detail"]
            assert taken.json() == {"accepted": 40}
            await until_sealed(tmp_path / "segments" / workload.name)
        lake = Lake(str(tmp_path / "lake"))
        committer = SegmentCommitter(
            lake,
            workload.name,
            directory=tmp_path / "segments" / workload.name,
            stream="test",
            columns=workload.columns,
            task=task,
        )
        committer.step()
        committer.close()
        why = find(answer["ids"][0], lake=lake, workload=workload.name, contract=Contract.of(workload))
        assert why["label"]["value"] == good[0]
        since = datetime(2024, 2, 28, tzinfo=UTC)
        rows = cohorts.joined(
            lake, workload.name, workload.columns, since=since, until=LATER, known_by=LATER, task=task
        )
        assert rows["label"].to_pylist() == [task.code(value) for value in good]
        answers = task.answers(rows)
        assert task.told(answers.tolist())[next(iter(task.told_types))] == [
            answer["predictions"][answer["ids"].index(one)] for one in rows["id"].to_pylist()
        ]
        found = score_cohort(rows, since=since, until=LATER, task=task).score_by_version[1]
        assert set(found.score_by_metric) == {metric.name for metric in task.metrics}
        assert found.expected.loss > 0
        profile = Profile.fit(rows, workload.columns, answers, task=task)
        counts = profile.count(rows, task.output(answers), sureness=task.sureness(answers))
        assert profile.compare(counts)[task.output_name].psi == 0.0

    run(scenario)


def test_a_trial_compares_two_versions_of_any_kind(asked, tmp_path):
    workload, versions = asked
    task = workload.task

    async def scenario():
        trial = record(versions, candidate=2, share=0.5)
        async with serving(workload, tmp_path, trial) as served:
            await served.predict(*ROWS)
            await settled(served, 40)
            await until_sealed(tmp_path / "segments" / workload.name)
        lake = Lake(str(tmp_path / "lake"))
        place = {"directory": tmp_path / "segments" / workload.name, "stream": "test"}
        committer = SegmentCommitter(lake, workload.name, columns=workload.columns, task=task, **place)
        committer.step()
        committer.close()
        found, _ = compared(
            lake,
            workload.name,
            workload.columns,
            version=2,
            since=datetime(2024, 2, 28, tzinfo=UTC),
            clock=datetime(2024, 3, 2, tzinfo=UTC),
            task=task,
        )
        assert found.num_compared == 40
        assert 0.5 <= found.agreement <= 1
        assert found.distance > 0
        assert found.num_errors == 0

    run(scenario)


def test_a_declared_default_answers_by_kind(bundles, tmp_path):
    async def scenario():
        for name, default, predicted in (("wear", 250, 250.0), ("cause", "none", "none")):
            workload = replace(getattr(toy_kinds, name), serving=Serving(default=default))
            missing = {**record(bundles[name]), "champion": 1}
            async with serving(workload, tmp_path, missing) as served:
                served.predictor.live = replace(served.predictor.live, version_by_number={})
                answer = await served.predict(ROWS[0])
            assert answer["predictions"] == [predicted]
            assert answer["degraded"]
            assert answer.get("low", [None]) == [None]

    run(scenario)


def test_a_version_of_before_a_class_was_added_gives_it_no_chance(bundles):
    label = Classes("cause", values=(*toy_kinds.CAUSES, "rust"))
    contract = replace(Contract.of(toy_kinds.cause), label=label)
    version = load_version(bundles["cause"][1], contract)
    table = pa.table({"load_percent": [50.0], "temperature_c": [3.5], "site": ["alpha"]})
    answers = version.answers(table)
    assert answers.shape == (1, 4)
    assert answers[0, 3] == 0.0
    with pytest.raises(BundleError, match="add new classes at the end"):
        load_version(bundles["cause"][1], replace(contract, label=Classes("cause", values=("a", "b", "c"))))
    with pytest.raises(BundleError, match="answers"):
        load_version(bundles["cause"][1], replace(contract, label=Quantity("cause")))


def test_the_openapi_document_says_what_each_kind_answers(bundles, tmp_path):
    async def scenario():
        async with serving(toy_kinds.cause, tmp_path, record(bundles["cause"])) as served:
            async with served.client() as client:
                found = (await client.get("/docs", headers={"Accept": "application/json"})).json()
            paths = found["paths"]
            answer = paths["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert answer["properties"]["predictions"]["items"] == {"enum": list(toy_kinds.CAUSES)}
            labels = paths["/v1/labels"]["post"]["requestBody"]["content"]["application/json"]["schema"]
            item = labels["properties"]["labels"]["items"]["properties"]
            assert item["value"] == {"enum": list(toy_kinds.CAUSES)}

    run(scenario)


def test_a_range_without_an_end_is_no_null_in_the_document():
    column = Number("x", low=0, high=np.inf)
    body = predict_body(Contract.of(replace(toy_kinds.wear, columns=[column])), ["key"])
    assert body["properties"]["rows"]["items"]["properties"]["x"] == {"type": "number", "minimum": 0}
    example = infer_body([column], ["key"], current=[column])["examples"][0]["inputs"][0]
    assert np.isfinite(example["data"]).all()
