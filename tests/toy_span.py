"""The long toy, fitted by one or two workers, as there is room, with a minute's time to change how many."""

import time
from dataclasses import replace

from heliostat import Batch, Encoded
from tests import toy_long

STEP_S = 0.03


def encode(batch: Batch) -> Encoded:
    """The long toy's, more slowly."""
    if len(batch["site"]) <= toy_long.BATCH_ROWS:
        time.sleep(STEP_S)
    return toy_long.encode(batch)


workload = replace(toy_long.workload, encode=encode, training=replace(toy_long.workload.training, num_workers=(1, 2)))
