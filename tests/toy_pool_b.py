"""The toy workload, answered by the pool as `toy-pool-b`, with a cache."""

from dataclasses import replace

from heliostat import Cache, Pool, Serving
from tests import toy

workload = replace(
    toy.workload, name="toy-pool-b", serving=Serving(num_replicas=1, cache=Cache(), pool=Pool(max_loaded_models=10))
)
