"""A training job whose driver is killed, and that is submitted again."""

import os
import re
import signal

import pytest

from cluster import submit
from heliostat.store.bundles import read_bundle
from tests.training.conftest import driver_pid

MODULE = "tests.toy_tuned_slow"
AS_OF = "2024-03-01"
VERSIONS = (
    "[{'run': v.run_id, 'candidate': v.candidate, 'uri': v.bundle_uri, 'hash': v.bundle_hash}"
    " for v in catalog.versions('tuned')]"
)


def weights(installation, run: str) -> dict[str, bytes]:
    """The weights of each version of a run, by candidate."""
    found = [each for each in installation.in_catalog(VERSIONS) if each["run"] == run]
    return {each["candidate"]: read_bundle(each["uri"], each["hash"])["weights.safetensors"] for each in found}


@pytest.mark.ray
def test_a_job_whose_driver_was_killed_goes_on_where_it_was_and_ends_in_the_same_weights(ready, wait_until):
    ready.run("train", MODULE, "--as-of", AS_OF, "--run", "undisturbed")
    job = ready.start_job("train", MODULE, "--as-of", AS_OF, "--run", "killed-driver")
    wait_until(lambda: "epoch 4:" in submit.logs(ready.settings, job), 120)
    os.kill(driver_pid(ready, "train"), signal.SIGKILL)
    wait_until(lambda: submit.state(ready.settings, job).has_ended, 60)
    last = max(int(epoch) for epoch in re.findall(r"epoch (\d+):", submit.logs(ready.settings, job)))
    again = ready.start_job("train", MODULE, "--as-of", AS_OF, "--run", "killed-driver")
    ready.result(again)
    log = submit.logs(ready.settings, again)
    gone_on = int(re.findall(r"goes on after epoch (\d+)", log)[0])
    print({"epochs_before": last, "gone_on_after": gone_on})
    assert last - 1 <= gone_on <= last
    found = weights(ready, "killed-driver")
    assert sorted(found) == ["all", "all-refit"]
    assert found == weights(ready, "undisturbed")
