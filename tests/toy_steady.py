"""The toy workload with a model that takes a while, so that requests are in flight when something happens to it."""

import time
from dataclasses import replace

from heliostat import Batch, Encoded
from tests import toy, toy_quick

BATCH_S = 0.03


def encode(batch: Batch) -> Encoded:
    """The toy's tensors, after a pause."""
    time.sleep(BATCH_S)
    return toy.encode(batch)


workload = replace(
    toy_quick.workload,
    name="toy-steady",
    encode=encode,
    training=replace(toy_quick.workload.training, windows=(None,)),
)
