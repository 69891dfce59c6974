"""The steady toy with as many replicas as the load asks for, and none without load."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Scaling, Serving
from tests import toy_steady

workload = replace(
    toy_steady.workload,
    name="toy-scaling",
    serving=Serving(
        scaling=Scaling(
            max_replicas=4,
            target_ongoing_requests=4,
            upscale_delay=timedelta(seconds=1),
            downscale_delay=timedelta(seconds=5),
            scale_to_zero_after=timedelta(seconds=5),
        )
    ),
)
