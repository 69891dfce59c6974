"""The document at `docs` is what is served: schemathesis makes requests from it and checks every answer against it.

HELIOSTAT_SCHEMA_EXAMPLES sets how many requests it makes up for each operation (`make test-schema`): then each path is
a test of its own, over more workloads, so that it is seen how far it is, and which path takes long. What takes long is
making requests up: answers are a fifth of the time.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest

from serve_apps.protocols.answer_schemas import ANSWERS
from tests import toy, toy_described, toy_kinds, toy_revised
from tests.integration.http_server import http_server
from tests.integration.kinds_fixture import bundle_of
from tests.integration.predictor_fixture import ROLES, make_bundle, plaintext, record

EXAMPLES = os.environ.get("HELIOSTAT_SCHEMA_EXAMPLES")
FEW = "4"
EVERYTHING = "every path"
JOBS = ("/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/result", "/v1/webhook-secret")  # these describe their answers
PATHS = [EVERYTHING, *(sorted({path for _, path in ANSWERS} | set(JOBS)) if EXAMPLES else [])]
WORKLOADS = {
    "revised": toy_revised.workload,
    **({"toy": toy.workload, "described": toy_described.workload, "cause": toy_kinds.cause} if EXAMPLES else {}),
}
LONGEST_S = 600.0
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method,ignored_auth"
)


@pytest.fixture(scope="module", params=WORKLOADS)
def address(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("openapi")
    made = {"described": "tests.toy_described", "cause": "tests.toy_cause"}.get(request.param)
    bundle = make_bundle(home, "tests.toy", seed=1) if made is None else bundle_of(home, made, seed=1)
    declared = WORKLOADS[request.param]
    # Nobody works jobs off here, and a full queue is refused with 503, rightly: that is tested elsewhere.
    patient = replace(declared, long_answers=replace(declared.long_answers, max_waiting=100_000))
    with http_server(patient, home, record({1: bundle})) as address:
        yield address


def headers(role):
    return {"Authorization": f"Bearer {plaintext(role)}"}


def document_of(address):
    return httpx.get(f"{address}/docs", headers=headers("viewer")).json()


@pytest.mark.parametrize("path", PATHS)
def test_made_up_requests_get_what_the_document_says(address, tmp_path, path):
    document = document_of(address)
    for operations in document["paths"].values():
        for operation in operations.values():
            # A caller who waits for a nanosecond gets 503, rightly, and that is tested elsewhere.
            given = [each for each in operation.get("parameters", []) if each["name"] != "X-Request-Timeout-Seconds"]
            operation["parameters"] = given
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"), "--url", address]
    command += ["--header", f"Authorization: {headers('admin')['Authorization']}", "--checks", CHECKS]
    command += ["--seed", "1", "--generation-database", "none", "--no-color"]
    # Requests that follow from each other's answers only make sense over all paths, where few examples are enough.
    chosen = ["--include-path", path, "--phases", "examples,coverage,fuzzing"] if path != EVERYTHING else []
    command += ["--max-examples", FEW if path == EVERYTHING or EXAMPLES is None else EXAMPLES, *chosen]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(*(line for line in done.stdout.splitlines() if " generated, " in line or "No issues" in line))


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
