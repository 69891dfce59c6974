"""What a job says when the pool has no room for its tasks now, so that nobody wonders why nothing moves."""

import sys

from cluster import idle


def say_if_full(*, num_cpus: float) -> None:
    """Write the reason to standard error if a task of so many CPUs would have to wait."""
    # The autoscaler is not asked: it may not answer, and no job should fail for a notice.
    if reason := idle.reason_to_wait(idle.free_cpus(), num_cpus=num_cpus):
        print(reason, file=sys.stderr, flush=True)
