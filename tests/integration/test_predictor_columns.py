"""Columns in bulk over HTTP: the same answers as for rows, and limits that hold before memory is spent."""

import asyncio
from dataclasses import replace

import pyarrow as pa
import pytest

from heliostat.declared.serving import Serving
from heliostat.serving.arrow_stream import ARROW
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload

PREDICT = "/v1/predict"
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2.0 * number} for number in range(40)]
TABLE = pa.Table.from_pylist(ROWS)
INPUTS = TABLE.select(["load_percent", "temperature_c", "site"])


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return {1: make_bundle(tmp_path_factory.mktemp("bundles"), "tests.toy", seed=1)}


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


async def send(served, body, **headers):
    async with served.client("caller", **{"Content-Type": ARROW, **headers}) as client:
        return await client.post(PREDICT, content=body)


def test_columns_and_rows_give_the_same_answer_and_the_same_ids(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            response = await send(served, stream(TABLE), **{"X-Request-Id": "same"})
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
        by_column = response.json()
        assert (by_column["ids"], by_column["predictions"]) == (by_row["ids"], by_row["predictions"])

    run(scenario)


def test_without_key_and_times_the_request_says_them(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            first = await send(served, stream(INPUTS), **{"X-Request-Id": "a", "X-Received-At-Ms": "1709287200000"})
            second = await send(served, stream(INPUTS), **{"X-Request-Id": "a", "X-Received-At-Ms": "1709287200000"})
        assert first.json()["ids"] == second.json()["ids"]
        assert len(set(first.json()["ids"])) == len(ROWS)

    run(scenario)


@pytest.mark.parametrize("as_rows", [True, False])
def test_the_answer_is_a_stream_when_accept_asks_for_one(bundles, tmp_path, as_rows):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            plain = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            headers = {"X-Request-Id": "same", "Accept": f"{ARROW}, application/json;q=0.5"}
            if as_rows:
                async with served.client("caller", **headers) as client:
                    response = await client.post(PREDICT, json={"rows": ROWS})
            else:
                response = await send(served, stream(TABLE), **headers)
        assert (response.status_code, response.headers["Content-Type"]) == (200, ARROW)
        table = pa.ipc.open_stream(response.content).read_all()
        assert table["id"].to_pylist() == plain["ids"]
        assert table["probability"].to_pylist() == plain["predictions"]
        assert table["confidence"].to_pylist() == plain["confidence"]
        assert table["model_version"].to_pylist() == plain["model_versions"]
        assert (table.schema.metadata[b"id"], table.schema.metadata[b"degraded"]) == (b"same", b"false")

    run(scenario)


def test_columns_and_rows_share_a_batch(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            alone = await served.predict(*ROWS)
            answers = await asyncio.gather(
                *(served.predict(*ROWS) for _ in range(3)), *(send(served, stream(TABLE)) for _ in range(3))
            )
        documents = [answer if isinstance(answer, dict) else answer.json() for answer in answers]
        for document in documents:
            assert document["predictions"] == pytest.approx(alone["predictions"], abs=1e-6)

    run(scenario)


BODY = stream(TABLE)
MANY = stream(pa.concat_tables([INPUTS] * 3))


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "Arrow stream"),
        (b"{}", 400, "Arrow stream"),
        (BODY[: len(BODY) // 2], 400, "Arrow stream"),
        (BODY[:-8], 400, "end"),
        (stream(TABLE.slice(0, 0)), 400, "at least 1"),
        (stream(TABLE.select([])), 400, "columns"),
        (stream(TABLE.drop_columns("site")), 422, "'site'"),
        (stream(TABLE.append_column("wind", TABLE["site"])), 422, "'wind'"),
        (stream(TABLE.set_column(2, "load_percent", pa.array([500.0] * 40))), 422, "500"),
        (MANY, 413, "100 rows"),
        (stream(pa.table({"load_percent": pa.nulls(10**7)})), 413, "100 rows"),
        (b"\0" * 100_001, 413, "100000 bytes"),
    ],
)
def test_a_stream_that_is_wrong_is_told_and_never_500(bundles, tmp_path, content, status, word):
    async def scenario():
        limited = replace(workload, serving=Serving(max_rows_per_request=100, max_body_bytes=100_000))
        async with serving(limited, tmp_path, record(bundles)) as served:
            response = await send(served, content)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        assert word in response.json()["detail"]

    run(scenario)


def test_the_document_describes_columns_in_and_out(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client() as client:
            operation = (await client.get("/docs")).json()["paths"][PREDICT]["post"]
            answer = await served.predict(ROW)
        assert sorted(operation["requestBody"]["content"]) == ["application/json", ARROW]
        assert "temperature_c (float64" in operation["requestBody"]["content"][ARROW]["schema"]["description"]
        described = operation["responses"]["200"]["content"]
        assert sorted(described) == ["application/json", ARROW]
        assert described["application/json"]["schema"]["properties"].keys() == answer.keys()
        named = {parameter["name"]: parameter["in"] for parameter in operation["parameters"]}
        assert named == {"X-Request-Timeout-Seconds": "header", "X-Contract-Revision": "header"}

    run(scenario)
