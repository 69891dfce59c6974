"""A run that is killed again and again ends with the network of one that was left alone."""

import os
import random
import signal
import time

import pytest

from heliostat.store.bundles import read_bundle
from jobs._run_folder import LIST_FILE
from tests import toy_long

MODULE = "tests.toy_long"
NUM_KILLS = 20
LONGEST_STEPS = 100
NUM_STEPS_BEFORE = 300  # of the driver or the node that is lost
# What may be done again: the steps of a checkpoint interval (10, or those of a second, which it waits for), and those
# until the controller has heard of the next checkpoint, which it asks for three times a second.
MOST_STEPS_AGAIN = 10 + int((1.0 + 0.3) / toy_long.STEP_S)
assert NUM_STEPS_BEFORE > MOST_STEPS_AGAIN, "a run that began anew would be found out"


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
    assert max(again) <= MOST_STEPS_AGAIN


@pytest.mark.ray
def test_a_run_whose_driver_is_killed_goes_on_under_its_name_even_from_half_a_list_of_checkpoints(nodes, alone):
    nodes.have(1)
    nodes.forget()
    run, num_seen, back_s = nodes.start("driver", MODULE), 0, []
    for is_list_whole in (True, False):
        nodes.after_steps(NUM_STEPS_BEFORE, of=nodes.next_step(after=num_seen, alive=run).pid)
        run.kill()
        run.wait()
        started_s, num_seen = time.monotonic(), len(nodes.notes())
        if not is_list_whole:  # as when it is killed while it writes the list
            listed = nodes.home / "runs" / "driver" / LIST_FILE
            listed.write_text(listed.read_text()[:-40])
        run = nodes.start("driver", MODULE)
        nodes.next_step(after=num_seen, alive=run)
        back_s.append(time.monotonic() - started_s)
    assert weights(nodes.result("driver", run)) == weights(alone.fitted)
    steps = alone.done_again(nodes.notes())
    print({"fault": "driver killed", "back_s": back_s, "steps_done_again": steps})
    assert len(steps) == 2
    assert max(steps) <= MOST_STEPS_AGAIN


@pytest.mark.ray
def test_a_run_whose_controller_is_killed_leaves_its_place_and_goes_on_under_its_name(nodes, alone):
    nodes.have(1)
    nodes.forget()
    run = nodes.start("controller", MODULE)
    nodes.after_steps(NUM_STEPS_BEFORE, of=nodes.next_step(after=0, alive=run).pid)
    os.kill(nodes.process("ray::TrainController"), signal.SIGKILL)
    assert run.wait(timeout=120) != 0
    started_s, num_seen = time.monotonic(), len(nodes.notes())
    run = nodes.start("controller", MODULE)
    nodes.next_step(after=num_seen, alive=run)  # the only CPU is free again
    back_s = time.monotonic() - started_s
    assert weights(nodes.result("controller", run)) == weights(alone.fitted)
    steps = alone.done_again(nodes.notes())
    print({"fault": "controller killed", "back_s": back_s, "steps_done_again": steps})
    assert max(steps) <= MOST_STEPS_AGAIN


@pytest.mark.ray
def test_a_run_whose_node_is_lost_goes_on_on_another(nodes, alone):
    nodes.have(1)
    nodes.forget()
    run = nodes.start("node", MODULE)
    worker = nodes.next_step(after=0, alive=run).pid
    nodes.tell("add")
    nodes.after_steps(NUM_STEPS_BEFORE, of=worker)
    os.kill(worker, signal.SIGKILL)  # a power cut leaves no process of the node
    num_seen, started_s = len(nodes.notes()), time.monotonic()
    nodes.tell("lose")
    nodes.next_step(after=num_seen, alive=run)
    back_s = time.monotonic() - started_s
    assert weights(nodes.result("node", run)) == weights(alone.fitted)
    steps = alone.done_again(nodes.notes())
    print({"fault": "node lost", "back_s": back_s, "steps_done_again": steps})
    assert len(steps) == 1
    assert steps[0] <= MOST_STEPS_AGAIN
