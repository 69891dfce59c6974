"""The model called in its own process: the floor that no server can pass."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.mlp_vector import NAME, workload
from benchmarks.network import network, probabilities
from benchmarks.publish import fitted
from heliostat.learn import bundle
from heliostat.vectors import from_matrix

NUM_CALLS = 40


def measure(inputs: np.ndarray) -> dict[str, Any]:
    """Milliseconds a call with these rows: the network on a ready matrix; the bundle's model on a column of vectors.

    The second includes what the network needs to get at its inputs: preparation, `encode`, calibration.
    """
    layers, model = network(), bundle.served(workload, fitted(workload))
    model.warm()
    table = pa.table({NAME: from_matrix(inputs)})
    return {
        "server": "in process",
        "rows": len(inputs),
        "network_ms": _milliseconds(lambda: probabilities(layers, inputs)),
        "model_ms": _milliseconds(lambda: model.answers(table)),
    }


def _milliseconds(call: Callable[[], object]) -> float:
    elapsed_s = []
    for _ in range(NUM_CALLS):
        started_s = time.perf_counter()
        call()
        elapsed_s.append(time.perf_counter() - started_s)
    return median(elapsed_s) * 1000
