"""The binary-tensor extension over HTTP, with bytes written by hand."""

import struct

import orjson
import pytest

from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload

INFER = "/v2/models/toy/infer"
LENGTH = "Inference-Header-Content-Length"
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2.0 * number} for number in range(5)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return {1: make_bundle(tmp_path_factory.mktemp("bundles"), "tests.toy", seed=1)}


def texts(values):
    return b"".join(struct.pack("<I", len(value)) + value.encode() for value in values)


def tensors():
    raw = [
        ("load_percent", "FP32", struct.pack("<5f", *(row["load_percent"] for row in ROWS))),
        ("temperature_c", "FP64", struct.pack("<5d", *(row["temperature_c"] for row in ROWS))),
        ("site", "BYTES", texts(row["site"] for row in ROWS)),
        ("reading", "BYTES", texts(row["reading"] for row in ROWS)),
        ("read_at", "BYTES", texts(row["read_at"] for row in ROWS)),
    ]
    inputs = [
        {"name": name, "datatype": kind, "shape": [5], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in raw
    ]
    return inputs, b"".join(data for _, _, data in raw)


async def infer(served, document, tail=b"", **headers):
    head = orjson.dumps(document)
    async with served.client("caller", **{LENGTH: str(len(head)), "X-Request-Id": "same", **headers}) as client:
        return await client.post(INFER, content=head + tail)


def test_binary_tensors_and_rows_give_the_same_answer(bundles, tmp_path):
    async def scenario():
        inputs, tail = tensors()
        async with serving(workload, tmp_path, record(bundles)) as served:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            plain = await infer(served, {"inputs": inputs}, tail)
            octets = await infer(served, {"inputs": inputs}, tail, **{"Content-Type": "application/octet-stream"})
        for response in (plain, octets):
            assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
            values = {output["name"]: output["data"] for output in response.json()["outputs"]}
            assert (values["probability"], values["id"]) == (by_row["predictions"], by_row["ids"])

    run(scenario)


def test_outputs_come_as_bytes_when_asked_for(bundles, tmp_path):
    async def scenario():
        inputs, tail = tensors()
        async with serving(workload, tmp_path, record(bundles)) as served:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            asked = {"inputs": inputs, "parameters": {"binary_data_output": True}}
            response = await infer(served, asked, tail)
        assert response.headers["Content-Type"] == "application/octet-stream"
        length = int(response.headers[LENGTH])
        document, raw = orjson.loads(response.content[:length]), response.content[length:]
        sizes = {output["name"]: output["parameters"]["binary_data_size"] for output in document["outputs"]}
        assert list(sizes) == ["probability", "confidence", "id", "model_version"]
        assert sum(sizes.values()) == len(raw)
        assert list(struct.unpack("<5d", raw[:40])) == by_row["predictions"]
        assert raw[80:-20] == texts(by_row["ids"])
        assert list(struct.unpack("<5i", raw[-20:])) == [1] * 5

    run(scenario)


@pytest.mark.parametrize(
    ("change", "headers", "status", "word"),
    [
        ({"shape": [-5]}, {}, 400, "'load_percent'"),
        ({"shape": [6]}, {}, 400, "'load_percent'"),
        ({"shape": [10**9]}, {}, 413, "'load_percent'"),
        ({"datatype": "BYTES"}, {}, 400, "'load_percent'"),
        ({"parameters": {"binary_data_size": 10**9}}, {}, 400, "'load_percent'"),
        ({}, {LENGTH: "7"}, 400, "no JSON"),
        ({}, {LENGTH: "999999"}, 400, LENGTH),
        ({}, {LENGTH: "-1"}, 400, LENGTH),
        ({}, {"Content-Type": "text/plain"}, 415, "application/octet-stream"),
    ],
)
def test_binary_input_that_is_wrong_is_told_and_never_500(bundles, tmp_path, change, headers, status, word):
    async def scenario():
        inputs, tail = tensors()
        inputs[0] = {**inputs[0], **change}
        async with serving(workload, tmp_path, record(bundles)) as served:
            response = await infer(served, {"inputs": inputs}, tail, **headers)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        assert word in response.json()["detail"]

    run(scenario)


def test_numbers_keep_the_contract_in_bytes_too(bundles, tmp_path):
    async def scenario():
        inputs, tail = tensors()
        async with serving(workload, tmp_path, record(bundles)) as served:
            too_high = await infer(served, {"inputs": inputs}, struct.pack("<f", 900.0) + tail[4:])
            missing = await infer(served, {"inputs": inputs}, struct.pack("<f", float("nan")) + tail[4:])
        assert [too_high.status_code, missing.status_code] == [422, 422]
        assert "row 0: column 'load_percent'" in too_high.json()["detail"]
        assert "900" in too_high.json()["detail"]

    run(scenario)


def test_octets_need_to_say_where_the_json_ends(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client("caller") as client:
            response = await client.post(INFER, content=b"{}", headers={"Content-Type": "application/octet-stream"})
            server = await client.get("/v2")
        assert (response.status_code, LENGTH in response.json()["detail"]) == (400, True)
        assert server.json()["extensions"] == ["binary_tensor_data"]

    run(scenario)
