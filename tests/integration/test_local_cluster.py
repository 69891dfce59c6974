"""One real cluster of its own: it starts, runs jobs and applications, survives abuse, and is gone afterwards."""

import http.client
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import applications, local, processes, submit
from heliostat.errors import ClusterError
from heliostat.settings import PORT_BLOCK, Settings

pytestmark = pytest.mark.ray

BASE_PORT = int(os.environ.get("HELIOSTAT_TEST_BASE_PORT", "22000"))
REPOSITORY = Path(__file__).resolve().parents[2]
TAGS = submit.JobTags(job_class="test", workload="toy")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), base_port=BASE_PORT)
    local.start(settings)
    yield settings
    local.stop(settings)


@pytest.fixture(scope="module")
def application(settings: Settings) -> Settings:
    """The same cluster with the probe's application deployed by a job."""
    run_probe(settings, "deploy")
    return settings


def run_probe(settings: Settings, *arguments: str) -> tuple[submit.JobState, list[str]]:
    lines: list[str] = []
    submission_id = f"probe-{arguments[0]}-{time.time_ns()}"
    submit.submit(
        settings,
        "tests.integration.probe",
        arguments=arguments,
        submission_id=submission_id,
        tags=TAGS,
        working_dir=REPOSITORY,
    )
    state = submit.follow(settings, submission_id, write=lines.append)
    return state, "".join(lines).splitlines()


def post(settings: Settings, body: bytes = b"", *, headers: dict[str, str] | None = None) -> tuple[Any, str]:
    connection = http.client.HTTPConnection("127.0.0.1", settings.ports.http, timeout=60)
    connection.request("POST", "/echo", body=body, headers=headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert response.status == 200, text
    return json.loads(text), response.headers["x-request-id"]


def both_replicas(settings: Settings) -> set[int]:
    """Waits for the second, because an earlier test may have ended one."""
    pids: set[int] = set()
    deadline = time.monotonic() + 60
    while len(pids) != 2 and time.monotonic() < deadline:
        pids = {post(settings)[0]["pid"] for _ in range(20)}
    return pids


def listening_addresses(first_port: int, last_port: int) -> set[str]:
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, _, port = line.split()[1].rpartition(":")
            if line.split()[3] == "0A" and first_port <= int(port, 16) <= last_port:
                addresses.add(address)
    return addresses


def test_a_second_start_finds_the_first(settings: Settings) -> None:
    first = local.read(settings)
    assert local.is_up(settings)
    assert local.start(settings) == first


def test_the_token_is_for_the_owner_alone(settings: Settings) -> None:
    assert stat.S_IMODE(settings.token_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.ray_temp_dir.stat().st_mode) == 0o700


def test_a_job_prints_its_result_line_and_knows_its_home_and_its_code(settings: Settings) -> None:
    state, lines = run_probe(settings, "say", "two words")
    assert state.status == submit.SUCCEEDED
    result = submit.result("\n".join(lines))
    assert result["home"] == str(settings.home)
    assert result["arguments"] == ["say", "two words"]
    assert int(result["revision"], 16) > 0


def test_a_job_that_fails_says_so_and_gives_its_exit_code(settings: Settings) -> None:
    state, lines = run_probe(settings, "fail")
    assert (state.status, state.exit_code) == ("FAILED", 1)
    assert "the probe was told to fail" in lines[-1]


def test_the_same_submission_again_is_the_same_job(settings: Settings) -> None:
    for _ in range(2):
        submit.submit(
            settings, "this", arguments=[], submission_id="same", tags=TAGS, working_dir=REPOSITORY / "cluster"
        )
    assert submit.wait(settings, "same", timeout_s=60).status == "SUCCEEDED"
    assert submit.state(settings, "never-submitted") is None


def test_another_token_is_refused_in_one_sentence(settings: Settings, tmp_path: Path) -> None:
    stranger = replace(settings, home=tmp_path)
    with pytest.raises(ClusterError, match="No Ray token at"):
        submit.state(stranger, "any")
    stranger.token_path.write_text("0" * 64)
    with pytest.raises(ClusterError, match="refused the token"):
        submit.state(stranger, "any")


def test_another_home_on_the_same_ports_is_refused_and_does_no_harm(settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, home=tmp_path)
    with pytest.raises(ClusterError, match=rf"^Port {BASE_PORT + 2} is in use by process \d+ "):
        local.start(other)
    local.stop(other)
    assert local.is_up(settings)
    assert settings.ray_temp_dir.exists()


def test_the_same_home_on_other_ports_is_refused_and_does_no_harm(settings: Settings) -> None:
    with pytest.raises(ClusterError, match=rf"runs on base port {BASE_PORT}, not {BASE_PORT + 1000}"):
        local.start(replace(settings, base_port=BASE_PORT + 1000))
    assert local.is_up(settings)


def test_a_request_has_one_id_from_the_ingress_to_the_answer(application: Settings) -> None:
    answer, answered_id = post(application)
    assert answer["id"] == answered_id
    assert len(answered_id) == 36
    own, _ = post(application, headers={"x-request-id": "mine"})
    assert own["id"] == "mine"


def test_a_request_whose_replica_dies_is_answered_by_another_under_the_same_id(
    application: Settings, tmp_path: Path
) -> None:
    answer, _ = post(application, str(tmp_path).encode())
    assert answer["was_seen"]
    assert [entry.name for entry in tmp_path.iterdir()] == [answer["id"]]


def test_a_changed_user_config_reaches_every_replica_without_a_restart(application: Settings) -> None:
    applications.wait_until_running(application, "echo", timeout_s=60)
    before = both_replicas(application)
    (declared,) = applications.declared(application)
    declared["deployments"][0]["user_config"] = {"value": 2}
    applications.apply(application, [declared])
    applications.wait_until_running(application, "echo", timeout_s=30)
    answers = [post(application)[0] for _ in range(20)]
    assert {answer["value"] for answer in answers} == {2}
    assert {answer["pid"] for answer in answers} <= before


def test_nothing_listens_beyond_this_machine(application: Settings) -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert listening_addresses(BASE_PORT, BASE_PORT + PORT_BLOCK - 1) <= loopback


def test_a_broken_application_is_reported_with_its_reason(application: Settings) -> None:
    (declared,) = applications.declared(application)
    broken = {**declared, "name": "broken", "route_prefix": "/broken", "import_path": "tests.integration.nothing:x"}
    applications.apply(application, [declared, broken])
    with pytest.raises(ClusterError, match=r"DEPLOY_FAILED.*tests\.integration\.nothing"):
        applications.wait_until_running(application, "broken", timeout_s=60)
    applications.apply(application, [declared])
    assert post(application)[0]["value"] == 2


def test_leftovers_of_a_killed_cluster_do_not_hinder_the_next(application: Settings) -> None:
    killed = local.read(application)
    pids = processes.cluster_pids(application.home)
    ingress = {pid for pid in pids if processes.command_of(pid).split()[0].endswith("/haproxy")}
    others = set(pids) - ingress
    for pid in others:
        os.kill(pid, signal.SIGKILL)
    assert processes.wait_until_gone(others, timeout_s=10) == []
    assert any(processes.is_alive(pid) for pid in ingress)
    assert not local.is_up(application)
    assert local.start(application) != killed
    assert not any(processes.is_alive(pid) for pid in ingress)


def test_stop_leaves_no_process_and_no_port(settings: Settings) -> None:
    pids = processes.cluster_pids(settings.home)
    assert pids
    began_at = time.monotonic()
    local.stop(settings)
    assert time.monotonic() - began_at < 15
    assert [pid for pid in pids if processes.is_alive(pid)] == []
    assert processes.listeners(BASE_PORT, BASE_PORT + PORT_BLOCK - 1) == {}
    assert not local.is_up(settings)
    local.stop(settings)


def test_without_a_cluster_the_error_says_how_to_start_one(settings: Settings) -> None:
    local.stop(settings)
    with pytest.raises(ClusterError, match=r"No Ray cluster answers at .* start it with `make run`"):
        submit.state(settings, "any")


def test_a_busy_port_is_one_sentence_that_names_who_has_it(settings: Settings) -> None:
    local.stop(settings)
    with socket.create_server(("127.0.0.1", settings.ports.dashboard)), pytest.raises(ClusterError) as refusal:
        local.start(settings)
    sentence = str(refusal.value)
    assert sentence.startswith(f"Port {settings.ports.dashboard} is in use by process {os.getpid()} (")
    assert "HELIOSTAT_BASE_PORT=" in sentence
    assert Path(sys.executable).name in sentence
    assert not settings.cluster_file.exists()
