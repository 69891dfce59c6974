"""The steady toy that scales by how long its answers take, however many requests a replica has in work."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Scaling, Serving
from tests import toy_steady

workload = replace(
    toy_steady.workload,
    name="toy-latency",
    serving=Serving(
        scaling=Scaling(
            max_replicas=4,
            target_ongoing_requests=100,
            target_latency_ms=60,
            upscale_delay=timedelta(seconds=1),
            downscale_delay=timedelta(seconds=5),
        )
    ),
)
