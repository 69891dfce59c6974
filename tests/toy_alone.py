"""The toy workload with replicas of its own, beside the pooled ones: others ask it, and its replicas are killed."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Scaling, Serving
from tests import toy

workload = replace(
    toy.workload,
    name="toy-alone",
    serving=Serving(scaling=Scaling(min_replicas=2, max_replicas=3, downscale_delay=timedelta(seconds=60))),
)
