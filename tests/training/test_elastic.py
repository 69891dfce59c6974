"""A run whose number of workers follows what is free, with a node that leaves and comes back."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.torch import load

from heliostat.store.bundles import read_bundle
from tests.training.conftest import ROOT, Undisturbed

MODULE = "tests.toy_span"
SOME_STEPS = 30

# Somebody who is in no ledger of Ray's, like a replica: takes a CPU until told to go.
TAKES_ONE = """
import sys, ray
ray.init(log_to_driver=False)
@ray.remote(num_cpus=1)
class Takes: pass
takes = Takes.remote()
ray.get(takes.__ray_ready__.remote())
print("here", flush=True)
sys.stdin.readline()
"""


def sizes(log: str) -> list[int]:
    """How many workers each start had."""
    return [int(size) for size in re.findall(r"Started training worker group of size (\d+)", log)]


@pytest.mark.ray
def test_a_run_takes_what_is_free_loses_a_node_gets_it_back_and_ends_with_the_same_loss(
    nodes, alone: Undisturbed, wait_until
):
    nodes.have(2)
    environment = {**nodes.environment, "RAY_ADDRESS": nodes.address}
    other = subprocess.Popen(
        [sys.executable, "-c", TAKES_ONE],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert b"here\n" in iter(other.stdout.readline, b"")  # Ray may say something of nodes that went before it
    nodes.forget()
    began_s = time.monotonic()
    told = {}
    run = nodes.start("span", MODULE)

    def reaches(*expected: int) -> None:
        wait_until(lambda: sizes(nodes.log("span"))[-1:] == [expected[-1]] or run.poll() is not None, 150)
        assert sizes(nodes.log("span")) == list(expected), nodes.log("span")[-3000:]
        told[f"{len(told)}: {expected[-1]} workers"] = round(time.monotonic() - began_s, 1)

    def learns(after: int) -> int:
        nodes.after_steps(SOME_STEPS, of=nodes.next_step(after=after, alive=run).pid)
        return len(nodes.notes())

    reaches(1)
    num_seen = learns(after=0)
    other.communicate(b"go\n", timeout=60)
    reaches(1, 2)
    learns(after=num_seen)
    nodes.tell("lose")
    reaches(1, 2, 1)
    nodes.tell("add")
    reaches(1, 2, 1, 2)
    fitted = nodes.result("span", run, timeout_s=400)
    told["ended"] = round(time.monotonic() - began_s, 1)
    scores = [(ours["scores"], theirs["scores"]) for ours, theirs in zip(fitted, alone.fitted, strict=True)]
    print({"seconds": told, "sizes": sizes(nodes.log("span")), "scores": scores})
    for ours, theirs in zip(fitted, alone.fitted, strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
        weights, others = (
            load(read_bundle(each["bundle_uri"], each["bundle_hash"])["weights.safetensors"]) for each in (ours, theirs)
        )
        furthest = max(float(np.abs(weights[name].numpy() - others[name].numpy()).max()) for name in weights)
        print({"candidate": ours["candidate"], "furthest_weight": furthest})
        assert furthest < 1e-4  # 2e-7 was seen
