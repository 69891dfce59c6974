"""The toy workload, answered by the pool as `toy-pool-b`."""

from dataclasses import replace

from heliostat import Pool, Serving
from tests import toy

workload = replace(toy.workload, name="toy-pool-b", serving=Serving(num_replicas=1, pool=Pool(max_loaded_models=10)))
