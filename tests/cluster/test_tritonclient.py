"""An unmodified tritonclient, http and grpc, against a running cluster; it lives in an environment of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, Installation

MODULE, NAME, SINCE = "tests.toy", "toy", "2024-03-01"
DATATYPES = ("FP32", "FP64", "INT64")
REFUSALS = {
    "without a key": ("401", "UNAUTHENTICATED", "No key was sent."),
    "with a wrong key": ("401", "UNAUTHENTICATED", "The key is unknown or was revoked."),
    "unknown version": ("404", "NOT_FOUND", "Version '77' is not served"),
    "BOOL for a number": ("400", "INVALID_ARGUMENT", "Input 'load_percent' must have datatype"),
    "wrong shape": ("400", "INVALID_ARGUMENT", "Input 'load_percent' of 6 FP32 takes 24 bytes; got 20 bytes."),
    "a column missing": ("422", "INVALID_ARGUMENT", "'load_percent'"),
    "unknown output": ("400", "INVALID_ARGUMENT", "There is no output"),
}


def client_python() -> str:
    """The Python that has tritonclient; made on the first call."""
    return subprocess.run(
        [ROOT / "scripts" / "tritonclient"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def said(installation: Installation) -> dict:
    """What the client was told by the toy; another test of this session may have brought it up."""
    settings = installation.settings
    installation.bring_up_once(MODULE, since=SINCE)
    addresses = (f"127.0.0.1:{settings.ports.http}", f"127.0.0.1:{settings.ports.grpc}")
    script = Path(__file__).with_name("tritonclient_calls.py")
    done = subprocess.run(
        [client_python(), script, *addresses, NAME, installation.key("caller")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.ray
def test_health_and_metadata_are_the_same_over_both_protocols(said):
    for protocol in ("http", "grpc"):
        assert (said[protocol]["live"], said[protocol]["ready"], said[protocol]["server"]) == (True, True, "heliostat")
    over_http, over_grpc = said["http"]["metadata"], said["grpc"]["metadata"]
    assert over_http["versions"] == over_grpc["versions"]
    for side in ("inputs", "outputs"):
        # a protobuf's JSON has its 64-bit numbers as text
        messages = [{**each, "shape": [int(size) for size in each["shape"]]} for each in over_grpc[side]]
        assert messages == over_http[side]


@pytest.mark.ray
def test_every_protocol_and_every_form_gives_one_answer_with_one_id(said):
    answers = [said[protocol]["outputs"][kind] for protocol in ("http", "grpc") for kind in DATATYPES]
    answers += [said["json"]]
    answers += [said["only grpc"][way] for way in ("with the application named", "compressed", "in time")]
    assert len(set(answers[0]["id"])) == 5
    for answer in answers:
        assert answer["id"] == answers[0]["id"]
        assert answer["model_version"] == answers[0]["model_version"]
        # the last bits depend on how many rows a micro-batch has
        assert answer["probability"] == pytest.approx(answers[0]["probability"], abs=1e-6)


@pytest.mark.ray
@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_has_its_status_and_the_same_sentence(said, what):
    status, code, words = REFUSALS[what]
    over_http, over_grpc = said["http"][what], said["grpc"][what]
    assert (over_http[0], over_grpc[0]) == (status, f"StatusCode.{code}")
    assert words in over_grpc[1]
    assert over_http[1] == over_grpc[1]


@pytest.mark.ray
def test_an_unknown_model_is_not_found(said):
    assert said["http"]["unknown model"][0] == "404"
    assert said["grpc"]["unknown model"][0] == "StatusCode.NOT_FOUND"
    assert "'nobody' here" in said["grpc"]["unknown model"][1]


@pytest.mark.ray
def test_grpc_has_its_own_deadlines_ids_and_parameters(said):
    own = said["only grpc"]
    assert own["too late"][0] == "StatusCode.DEADLINE_EXCEEDED"
    assert own["unknown application"][0] == "StatusCode.NOT_FOUND"
    assert own["id"] == "mine"
    assert own["parameters"]["degraded"] == "bool_param"
