"""The tuned toy with epochs of about a second, and trials that all run to their end: long enough to be paused in."""

import time
from dataclasses import replace

from heliostat import Batch, Encoded
from tests import toy, toy_tuned

BATCH_S = 0.1
EPOCHS = 8


def encode(batch: Batch) -> Encoded:
    """The toy's, more slowly."""
    time.sleep(BATCH_S)
    return toy.encode(batch)


assert toy_tuned.workload.tuning is not None
workload = replace(
    toy_tuned.workload,
    encode=encode,
    training=replace(toy_tuned.workload.training, epochs=EPOCHS),
    tuning=replace(toy_tuned.workload.tuning, first_epochs=EPOCHS),
)
