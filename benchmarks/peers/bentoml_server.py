"""BentoML: adaptive batches of up to 256 rows with a latency target of 10 ms; workers as its `--api-workers`."""

import bentoml
import numpy as np

from benchmarks.network import network, probabilities


@bentoml.service(
    traffic={"timeout": 30, "max_concurrency": 1024},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Network:
    """Rows of several requests go through the network together."""

    def __init__(self) -> None:
        self.layers = network()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=256, max_latency_ms=1000)
    def predict(self, instances: np.ndarray) -> np.ndarray:
        """Rows as lists in JSON."""
        return probabilities(self.layers, np.asarray(instances, np.float32))
