"""The slow tuned toy, whose replicas take most of a CPU each and come as the load asks for them, none without."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Scaling, Serving
from tests import toy_tuned_slow

CPUS_PER_REPLICA = 0.8
NUM_TRIALS = 3

assert toy_tuned_slow.workload.tuning is not None
workload = replace(
    toy_tuned_slow.workload,
    name="tuned-served",
    tuning=replace(toy_tuned_slow.workload.tuning, num_trials=NUM_TRIALS),
    serving=Serving(
        cpus_per_replica=CPUS_PER_REPLICA,
        scaling=Scaling(
            max_replicas=2,
            target_ongoing_requests=2,
            upscale_delay=timedelta(seconds=1),
            downscale_delay=timedelta(seconds=5),
            scale_to_zero_after=timedelta(seconds=5),
        ),
    ),
)
