"""A run that is killed again and again ends with the network of one that was left alone."""

import os
import random
import signal
import time

import pytest

from heliostat.store.bundles import read_bundle
from tests import toy_long

MODULE = "tests.toy_long"
NUM_KILLS = 20
LONGEST_STEPS = 100
# What may be done again: the steps of a checkpoint interval (10, or those of a second, which it waits for), those until
# the controller has heard of the next checkpoint, and a step that was noted but not done.
INTERVAL_STEPS = 10 + int(1.0 / toy_long.STEP_S)


def weights(fitted: list[dict]) -> dict[str, bytes]:
    """The weights of each version, by candidate."""
    return {
        each["candidate"]: read_bundle(each["bundle_uri"], each["bundle_hash"])["weights.safetensors"]
        for each in fitted
    }


@pytest.mark.ray
def test_twenty_kills_at_random_instants_change_no_weight_and_cost_an_interval_each(nodes, alone):
    nodes.have(1)
    nodes.forget()
    chance, started_s = random.Random(1), time.monotonic()
    driver, num_drivers, num_seen, back_s = nodes.start("killed", MODULE), 1, 0, []
    for _ in range(NUM_KILLS):
        while True:
            try:
                note = nodes.next_step(after=num_seen, alive=driver)
                break
            except ChildProcessError:
                driver, num_drivers = nodes.start("killed", MODULE), num_drivers + 1
        back_s.append(time.monotonic() - started_s)
        nodes.after_steps(chance.randint(1, LONGEST_STEPS), of=note.pid)
        os.kill(note.pid, signal.SIGKILL)
        started_s, num_seen = time.monotonic(), len(nodes.notes())
    while driver.wait(timeout=200) != 0:
        driver, num_drivers = nodes.start("killed", MODULE), num_drivers + 1
    again = alone.done_again(nodes.notes())
    print({"drivers": num_drivers, "back_s": back_s, "steps_done_again": again})
    assert weights(nodes.result("killed", driver)) == weights(alone.fitted)
    assert len(again) == NUM_KILLS
    assert max(again) <= 2 * INTERVAL_STEPS
