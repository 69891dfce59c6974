"""What a job says when the pool has no room for its tasks now, so that nobody wonders why nothing moves."""

import sys

import ray

from cluster import idle


def say_if_full(*, num_cpus: float, num_gpus: float = 0.0) -> None:
    """Write the reason to standard error if a task of so many CPUs and GPUs would have to wait."""
    # The autoscaler is not asked: it may not answer, and no job should fail for a notice.
    if reason := idle.reason_to_wait(idle.free("CPU"), num_needed=num_cpus):
        print(reason, file=sys.stderr, flush=True)
    if num_gpus and (reason := idle.reason_to_wait(idle.free("GPU"), num_needed=num_gpus, unit="GPUs")):
        print(f"{reason} Training(use_gpu=False) needs none.", file=sys.stderr, flush=True)


def cluster_gpus() -> int:
    """GPUs of all nodes, whoever uses them."""
    return int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]


def say_if_too_few(*, num_gpus: int, num_workers: int) -> None:
    """Write to standard error that workers learn on CPUs because there is no GPU for each."""
    if 0 < num_gpus < num_workers:
        print(
            f"the cluster has {num_gpus} GPUs, and {num_workers} workers would take one each: they learn on CPUs. "
            "Declare fewer workers, or Training(use_gpu=True), which waits for as many.",
            file=sys.stderr,
            flush=True,
        )
