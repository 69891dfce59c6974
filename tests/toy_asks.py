"""The toy workload with the votes of two others: one with replicas of its own, one in the pool.

Its own model's answers are kept in a cache.
"""

from dataclasses import replace

from heliostat import Cache, Ensemble, Serving
from tests import toy

workload = replace(
    toy.workload,
    name="toy-asks",
    serving=Serving(num_replicas=1, cache=Cache()),
    combine=Ensemble(weights={"toy-alone": 1.0, "toy-pool-a": 1.0}),
)
