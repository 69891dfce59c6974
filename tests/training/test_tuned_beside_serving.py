"""A search on a real cluster that fills what is idle, and is gone while replicas need the room."""

import os
import subprocess
import sys
import time

import pytest

from cluster import applications
from cluster.environment import client_environment
from tests import toy_tuned_served
from tests.cluster.conftest import Installation
from tests.training.callers import Callers
from tests.training.conftest import ROOT
from tests.training.searches import epochs_told, is_restored, num_epochs, num_pauses

MODULE, NAME = "tests.toy_tuned_served", "tuned-served"
AS_OF = "2024-03-01"
NUM_CPUS = 2  # that the sums of this test are for: what a larger machine has beyond them is taken

TAKES_THE_REST = f"""
import sys, ray
from heliostat.settings import Settings
from cluster.connect import connect
connect(Settings.from_env())
@ray.remote(num_cpus=ray.cluster_resources()["CPU"] - {NUM_CPUS})
class Takes: pass
takes = Takes.remote()
ray.get(takes.__ray_ready__.remote())
print("here", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def two_cpus(installation: Installation):
    """The cluster with two CPUs for others, however many it has."""
    environment = {**os.environ, **client_environment(installation.settings), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_THE_REST],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as taker:
        assert taker.stdout.readline() == b"here\n"
        yield installation
        taker.stdin.close()


def num_running(installation: Installation) -> int:
    """How many replicas Serve counts as running."""
    (deployment,) = applications.details(installation.settings)["applications"][NAME]["deployments"].values()
    return sum(replica["state"] == "RUNNING" for replica in deployment["replicas"])


@pytest.mark.ray
def test_trials_are_gone_while_replicas_need_their_room_and_go_on_where_they_were_once_it_is_back(two_cpus, wait_until):
    two_cpus.bring_up_once(MODULE, since=AS_OF)
    wait_until(lambda: num_running(two_cpus) == 0, 90)
    job = two_cpus.start_job("tune", MODULE, "--as-of", AS_OF, "--run", "beside")
    wait_until(lambda: len(epochs_told(two_cpus, "beside")) == 2, 180)  # both trials that fit have done an epoch

    told, began_s = {}, time.monotonic()
    with Callers(f"{two_cpus.settings.http_url}/{NAME}", two_cpus.key("caller"), num_callers=8) as callers:
        for what, is_so in {
            "a trial paused": lambda: num_pauses(two_cpus, job) >= 1,
            "both paused": lambda: num_pauses(two_cpus, job) >= 2,
            "both replicas up": lambda: num_running(two_cpus) == 2,
        }.items():
            wait_until(is_so, 90)
            told[what] = round(time.monotonic() - began_s, 1)
        done = num_epochs(two_cpus, "beside")
        time.sleep(6)  # several epochs' time
        assert num_epochs(two_cpus, "beside") == done, "no trial learns while both replicas answer"
    told["load ended"] = round(time.monotonic() - began_s, 1)
    wait_until(lambda: num_epochs(two_cpus, "beside") > done, 120)
    told["trials learn again"] = round(time.monotonic() - began_s, 1)
    result = two_cpus.result(job)
    told["search ended"] = round(time.monotonic() - began_s, 1)

    trials = epochs_told(two_cpus, "beside")
    print({"seconds": told, "requests": callers.counts, "epochs_before": done, "plot": result["plot"]})
    assert set(callers.counts) == {200}
    assert sum(map(is_restored, trials)) >= 2
    every_epoch = list(range(1, toy_tuned_served.workload.training.epochs + 1))
    assert [[each["epochs"] for each in trial] for trial in trials] == [every_epoch] * toy_tuned_served.NUM_TRIALS
    assert result["num_trials"] == toy_tuned_served.NUM_TRIALS
