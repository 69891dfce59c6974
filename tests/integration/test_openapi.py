"""The document at `docs` is what is served: schemathesis makes requests from it and checks every answer against it.

HELIOSTAT_SCHEMA_EXAMPLES sets how many requests it makes up for each operation (`make test-schema`).
"""

import json
import os
import subprocess
import sys

import httpx
import pytest

from serve_apps.protocols.answer_schemas import ANSWERS
from tests import toy, toy_revised
from tests.integration.http_server import http_server
from tests.integration.predictor_fixture import ROLES, make_bundle, plaintext, record

EXAMPLES = os.environ.get("HELIOSTAT_SCHEMA_EXAMPLES")
WORKLOADS = [toy_revised.workload, *([toy.workload] if EXAMPLES else [])]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method,ignored_auth"
)


@pytest.fixture(scope="module", params=WORKLOADS, ids=lambda workload: f"revision-{workload.revision}")
def address(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("openapi")
    bundles = {1: make_bundle(home, "tests.toy", seed=1)}
    with http_server(request.param, home, record(bundles)) as address:
        yield address


def headers(role):
    return {"Authorization": f"Bearer {plaintext(role)}"}


def document_of(address):
    return httpx.get(f"{address}/docs", headers=headers("viewer")).json()


def test_made_up_requests_get_what_the_document_says(address, tmp_path):
    document = document_of(address)
    for path in document["paths"].values():
        for operation in path.values():
            # A caller who waits for a nanosecond gets 503, rightly, and that is tested elsewhere.
            given = [each for each in operation.get("parameters", []) if each["name"] != "X-Request-Timeout-Seconds"]
            operation["parameters"] = given
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"), "--url", address]
    command += ["--header", f"Authorization: {headers('admin')['Authorization']}", "--checks", CHECKS]
    command += ["--max-examples", EXAMPLES or "4", "--seed", "1", "--generation-database", "none", "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout[-3000:])


def test_every_endpoint_has_an_answer_that_is_described(address):
    document = document_of(address)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            (success,) = [answer for status, answer in operation["responses"].items() if status < "300"]
            assert success["content"], (method, path)
            assert all(content["schema"] for content in success["content"].values()), (method, path)
    assert {(method.upper(), path) for path, found in document["paths"].items() for method in found} >= ANSWERS.keys()


def test_a_refused_method_says_which_are_allowed(address):
    response = httpx.put(f"{address}/v1/keys", headers=headers("admin"))
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("role", ROLES)
def test_the_document_is_for_everybody_with_a_key(address, role):
    assert httpx.get(f"{address}/docs", headers=headers(role)).status_code == 200
