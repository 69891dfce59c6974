"""Runs of Ray Train whose network is laid out over workers: killed, and gone on with by fewer and by more."""

import os
import random
import re
import signal

import numpy as np
import pytest
from safetensors.torch import load

from heliostat.store.bundles import read_bundle
from jobs._parts import has_all_parts
from tests.training.conftest import Undisturbed
from tests.training.test_elastic import sizes
from tests.training.test_killed_runs import weights

NUM_KILLS = 2
LONGEST_STEPS = 120


def kept_in_parts(nodes, run_id: str) -> bool:
    """Whether the run has a checkpoint in parts, whole."""
    return any(has_all_parts(path) for path in (nodes.home / "runs" / run_id).glob("checkpoint_*"))


@pytest.mark.ray
def test_a_sharded_run_whose_workers_are_killed_ends_with_the_weights_of_one_that_was_left_alone(nodes, wait_until):
    nodes.have(2)
    left_alone = nodes.result("parts-alone", nodes.start("parts-alone", "tests.toy_sharded_long"))
    nodes.forget()
    chance, num_seen = random.Random(2), 0
    driver = nodes.start("parts-killed", "tests.toy_sharded_long")
    for _ in range(NUM_KILLS):
        note = nodes.next_step(after=num_seen, alive=driver)
        nodes.after_steps(chance.randint(50, LONGEST_STEPS), of=note.pid)
        wait_until(lambda: kept_in_parts(nodes, "parts-killed"), 30)
        os.kill(note.pid, signal.SIGKILL)
        num_seen = len(nodes.notes())
    killed = nodes.result("parts-killed", driver)
    # Of workers on several nodes of one machine Ray tells each line more than once.
    assert len(set(re.findall("the fit goes on after epoch .*", nodes.log("parts-killed")))) == NUM_KILLS
    assert weights(killed) == weights(left_alone)
    assert [each["scores"] for each in killed] == [each["scores"] for each in left_alone]


@pytest.mark.ray
def test_a_sharded_run_that_loses_a_node_goes_on_with_one_worker_and_then_with_two_again(
    nodes, alone: Undisturbed, wait_until
):
    nodes.have(2)
    nodes.forget()
    run = nodes.start("parts-span", "tests.toy_sharded_span")
    nodes.after_steps(60, of=nodes.next_step(after=0, alive=run).pid)
    wait_until(lambda: kept_in_parts(nodes, "parts-span"), 60)
    num_seen = len(nodes.notes())
    nodes.tell("lose")
    nodes.after_steps(60, of=nodes.next_step(after=num_seen, alive=run, timeout_s=150).pid)
    nodes.tell("add")
    fitted = nodes.result("parts-span", run, timeout_s=400)
    print({"sizes": sizes(nodes.log("parts-span"))})
    assert sizes(nodes.log("parts-span"))[:3] == [2, 1, 2]
    for ours, theirs in zip(fitted, alone.fitted, strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
        found, expected = (
            load(read_bundle(each["bundle_uri"], each["bundle_hash"])["weights.safetensors"]) for each in (ours, theirs)
        )
        assert max(float(np.abs(found[name].numpy() - expected[name].numpy()).max()) for name in found) < 1e-4
