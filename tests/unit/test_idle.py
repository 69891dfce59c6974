"""What a job says of a pool that is full."""

import pytest

from cluster.idle import Idle


@pytest.mark.parametrize("num_cpus", [0.25, 0.8])
def test_a_task_that_fits_has_no_reason_to_wait(num_cpus):
    assert Idle(num_cpus=0.8, num_gpus=0.0, num_waiting=0).reason_to_wait(num_cpus=num_cpus) is None


def test_a_full_pool_is_said_with_what_is_free_and_what_is_asked():
    reason = Idle(num_cpus=0.8, num_gpus=0.0, num_waiting=2).reason_to_wait(num_cpus=1.0)
    assert "0.80 CPUs are free" in reason
    assert "takes 1.0" in reason
    assert "gets a node" in reason
