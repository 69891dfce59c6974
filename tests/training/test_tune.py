"""A search on a real cluster: killed with its driver and gone on with, and out of the way when others need the room."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import submit
from cluster.environment import client_environment
from tests.training.conftest import driver_pid
from tests.training.searches import ended_trials

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests.toy_tuned"
AS_OF = "2024-03-01"

# Asks for nearly all CPUs of the cluster (a replica has the rest), and holds them for a moment.
NEEDS_ALL = """
import json, sys, time, ray
from heliostat.settings import Settings
from cluster.connect import connect
connect(Settings.from_env())
whole = ray.cluster_resources()["CPU"] - 0.5
@ray.remote(num_cpus=whole)
class Needs:
    def hold(self):
        time.sleep(3)
started = time.monotonic()
needs = Needs.remote()
ray.get(needs.__ray_ready__.remote())
print(json.dumps({"placed_after_s": time.monotonic() - started}), flush=True)
ray.get(needs.hold.remote())
"""


@pytest.mark.ray
def test_a_search_whose_driver_was_killed_goes_on_and_ends_in_a_version_that_says_its_trial(ready, wait_until):
    first = ready.start_job("tune", MODULE, "--as-of", AS_OF, "--run", "killed")
    wait_until(lambda: len(ended_trials(ready, first)) >= 2, 180)
    os.kill(driver_pid(ready, "tune"), signal.SIGKILL)
    wait_until(lambda: submit.state(ready.settings, first).has_ended, 60)
    again = ready.start_job("tune", MODULE, "--as-of", AS_OF, "--run", "killed")
    result = ready.result(again)
    done = len(ended_trials(ready, first))
    assert result["num_trials"] == 5
    assert len(ended_trials(ready, again)) <= 5 - done + 1, "a trial that had ended is not done again"
    versions = ready.in_catalog("[{'lineage': v.lineage, 'candidate': v.candidate} for v in catalog.versions('tuned')]")
    assert [version["candidate"] for version in versions] == ["all", "all-refit"]
    for version in versions:
        assert version["lineage"]["configuration"] == result["best"]["configuration"]
        assert version["lineage"]["tuned_by"] == {"run": "killed", "trial": str(result["best"]["trial"])}
    told = json.loads(Path(result["report"]).read_text())
    assert [each["score"] for each in told["trials"]] == sorted(each["score"] for each in told["trials"])
    assert Path(result["plot"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.ray
def test_trials_make_room_for_whoever_needs_it_and_go_on_afterwards(ready, wait_until):
    job = ready.start_job("tune", MODULE, "--as-of", AS_OF, "--run", "yields")
    wait_until(lambda: len(ended_trials(ready, job)) >= 1, 180)
    environment = {**os.environ, **client_environment(ready.settings), "PYTHONPATH": str(ROOT)}
    needs = subprocess.Popen(
        [sys.executable, "-c", NEEDS_ALL],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = needs.communicate(timeout=240)[0]
    finally:
        needs.kill()
        print(submit.logs(ready.settings, job))
    assert needs.returncode == 0, said[-3000:]
    print(said)
    assert ready.result(job)["num_trials"] == 5
