"""The ways in which input is wrong, in every protocol: a 4xx that names the column, the limit and what to do."""

import asyncio

import pyarrow as pa
import pytest

from heliostat.serving.arrow_stream import ARROW, write_stream
from heliostat.serving.binary_tensors import HEADER_LENGTH, OCTETS
from tests.integration.predictor_fixture import make_bundle, record, serving
from tests.toy_revised import workload

GOOD = {"load_percent": 50.0, "plant": "alpha", "shift": "day"}
# What is changed in a good row, the status, and words of the answer: column, value or limit, remedy.
ROWS = {
    "unknown column": ({"colour": "red"}, 422, ["'colour'", "not declared", "Declared are: load_percent"]),
    "missing column": ({"load_percent": ...}, 422, ["'load_percent' is missing", "Send it"]),
    "wrong type": ({"plant": 3.0}, 422, ["'plant'", "text"]),
    "number as text": ({"load_percent": "50"}, 422, ["'load_percent'", "a number"]),
    "out of range": (
        {"load_percent": 101.0},
        422,
        ["'load_percent'", "between 0 and 100", "101.0", "Correct"],
    ),
    "below the range": ({"load_percent": -0.5}, 422, ["'load_percent'", "between 0 and 100", "-0.5"]),
    "unseen category": ({"shift": "noon"}, 422, ["'shift'", "one of day, night", "'noon'"]),
}
TENSORS = {
    "wrong shape": ({"shape": [2]}, 400, ["'load_percent'", "[1]"]),
    "two dimensions": ({"shape": [1, 2]}, 400, ["'load_percent'", "[n] or [n, 1]"]),
    "negative shape": ({"shape": [-1]}, 400, ["'load_percent'", "[n] or [n, 1]", "[-1]"]),
    "no shape": ({"shape": None}, 400, ["'load_percent'", "shape"]),
    "wrong datatype": ({"datatype": "BYTES"}, 400, ["'load_percent'", "FP64", "'BYTES'"]),
    "unknown datatype": ({"datatype": "FP7"}, 400, ["'load_percent'", "FP64", "'FP7'"]),
    "too many rows": ({"shape": [1_000_000]}, 413, ["'load_percent'", "10000 rows"]),
    "short bytes": ({"data": ..., "parameters": {"binary_data_size": 9}}, 400, ["'load_percent'", "left"]),
}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Sends one request to a replica under the current contract revision."""
    home = tmp_path_factory.mktemp("bad-input-list")
    first = record({1: make_bundle(home, "tests.toy", seed=1)})

    def send(path, **request):
        async def scenario():
            headers = {"X-Contract-Revision": "2", **request.pop("headers", {})}
            async with serving(workload, home, first) as served, served.client("caller") as client:
                return await client.post(path, headers=headers, **request)

        return asyncio.run(scenario())

    return send


def changed(good, change):
    return {name: value for name, value in {**good, **change}.items() if value is not ...}


def tensor(name, value):
    return {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}


def refused(response, status, words):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail = response.json()["detail"]
    assert [word for word in words if word not in detail] == [], detail


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_a_wrong_row_is_told(ask, change):
    row, status, words = change
    refused(ask("/v1/predict", json={"rows": [GOOD, changed(GOOD, row)]}), status, ["row 1", *words])


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_a_wrong_column_is_told(ask, change):
    row, status, words = change
    arrays = {name: pa.array([value]) for name, value in changed(GOOD, row).items()}
    body = write_stream(arrays, metadata={})
    told = [word for word in words if "'5" not in word and word != "101.0"]
    refused(ask("/v1/predict", content=body, headers={"Content-Type": ARROW}), status, told[:2])


@pytest.mark.parametrize("cut", [1, 8, 40, 200])
def test_a_truncated_stream_is_told(ask, cut):
    body = write_stream({name: pa.array([value]) for name, value in GOOD.items()}, metadata={})
    response = ask("/v1/predict", content=body[:-cut], headers={"Content-Type": ARROW})
    refused(response, 400, ["Arrow stream", "up to and with its end"])


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS)
def test_a_wrong_tensor_is_told(ask, change):
    altered, status, words = change
    first = changed(tensor("load_percent", 50.0), altered)
    inputs = [first, tensor("plant", "alpha"), tensor("shift", "day")]
    refused(ask("/v2/models/toy/infer", json={"inputs": inputs}), status, words)


@pytest.mark.parametrize("length", ["0", "-1", "many", "999999", "9" * 400])
def test_a_wrong_length_of_the_json_is_told(ask, length):
    headers = {"Content-Type": OCTETS, HEADER_LENGTH: length}
    refused(ask("/v2/models/toy/infer", content=b'{"inputs": []}', headers=headers), 400, [HEADER_LENGTH, "14 bytes"])
