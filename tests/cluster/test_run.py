"""The one command, as a new user types it: result, addresses that work, a second run, and the way down."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cluster.processes import cluster_pids

ROOT = Path(__file__).resolve().parents[2]
BASE_PORT = 29000
MODULE = "tests.toy"


class Shell:
    """Commands in one home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {**os.environ, "HELIOSTAT_HOME": str(home), "HELIOSTAT_BASE_PORT": str(BASE_PORT)}

    def __call__(self, *command: str, timeout_s: float = 500.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def job(self, verb: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """`scripts/heliostat VERB`, with this interpreter."""
        return self(sys.executable, "-m", f"jobs.{verb}", *options)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    made = Shell(tmp_path_factory.mktemp("run"))
    yield made
    made.job("down")


@pytest.fixture(scope="module")
def first(shell):
    done = shell.job("run", MODULE)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.ray
def test_one_command_ends_with_the_result_of_this_very_run(first, shell):
    result = json.loads((shell.home / "results" / "toy.json").read_text())
    for policy in ("(a) constant rate", "(b) first champion", "(c) the loop", "(d) Hist", "(e) Hist"):
        assert policy in first
    replayed = result["replay"]
    assert replayed["num_requests"] == replayed["num_answered"] > 1000
    assert replayed["num_failed"] == 0
    assert " 0 failed" in first
    assert result["turns"], "the toy world moves, so the loop must turn"
    assert (shell.home / "results" / "toy.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.ray
def test_the_curl_line_works_when_pasted(first, shell):
    line = re.search(r"^curl .*\\\n.*$", first, re.M)
    assert line is not None
    done = shell("bash", "-c", line[0])
    answer = json.loads(done.stdout)
    assert 0 < answer["predictions"][0] < 1
    assert answer["model_version"] >= 1


@pytest.mark.ray
def test_the_comparison_over_http_is_that_of_the_job(first, shell):
    key = (shell.home / "keys" / "viewer").read_text().strip()
    address = f"http://127.0.0.1:{BASE_PORT}/toy/v1/comparison?since=1970-01-01T00:00:00Z"
    answered = httpx.get(address, headers={"Authorization": f"Bearer {key}"}, timeout=60.0)
    assert answered.status_code == 200, answered.text
    told = answered.json()
    by_job = json.loads(shell.job("compare", MODULE, "--version", str(told["version"]), "--json").stdout)
    assert told["num_compared"] > 0
    assert {name: by_job[name] for name in told} == told


@pytest.mark.ray
def test_status_says_what_is_up(first, shell):
    said = shell.job("status", "toy").stdout
    assert "cluster    up since" in said
    assert "champion" in said


@pytest.mark.ray
def test_a_second_run_shows_the_stored_result_and_replays_nothing(first, shell):
    done = shell.job("run", MODULE)
    assert done.returncode == 0, done.stderr
    stored = json.loads((shell.home / "results" / "toy.json").read_text())
    assert f"(made {stored['made_at']})" in done.stdout
    assert "jobs.replay" not in done.stdout


@pytest.mark.ray
def test_down_stops_all_that_was_started_and_keeps_what_is_stored(first, shell):
    assert cluster_pids(shell.home)
    assert shell.job("down").returncode == 0
    assert cluster_pids(shell.home) == []
    assert (shell.home / "results" / "toy.json").exists()
    assert "down" in shell.job("status", "toy").stdout
