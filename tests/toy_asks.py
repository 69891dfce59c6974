"""The toy workload with the votes of two others: one with replicas of its own, one in the pool."""

from dataclasses import replace

from heliostat import Ensemble, Serving
from tests import toy

workload = replace(
    toy.workload,
    name="toy-asks",
    serving=Serving(num_replicas=1),
    combine=Ensemble(weights={"toy-alone": 1.0, "toy-pool-a": 1.0}),
)
