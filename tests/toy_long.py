"""The quick toy with a fit in many small steps, each of which it notes: long enough to be killed in.

A note is one line of a file in the directory NOTES_DIR, written at once, so that what a killed process did is known.
"""

import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace

import torch

from heliostat import Encoded
from tests import toy, toy_quick

NOTES_DIR = "HELIOSTAT_TEST_NOTES_DIR"
BATCH_ROWS = 8
STEP_S = 0.005  # what a step waits for, as if the network were larger


class Network(toy.Network):
    """The toy's; batches that it learns from are noted by process, instant and content."""

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        directory = os.environ.get(NOTES_DIR)
        if directory is not None and self.training:
            time.sleep(STEP_S)
            content = zlib.crc32(encoded["numbers"].numpy().tobytes())
            with open(os.path.join(directory, "steps"), "a", buffering=1) as notes:
                notes.write(f"{os.getpid()} {time.monotonic():.3f} {content}\n")
        return super().forward(encoded)


def model(sizes: Mapping[str, int]) -> Network:
    """A fresh network."""
    return Network(sizes["site"])


workload = replace(
    toy_quick.workload,
    model=model,
    training=replace(
        toy_quick.workload.training,
        epochs=8,
        batch_size=BATCH_ROWS,
        learning_rate=5e-3,
        checkpoint_steps=10,
        windows=(None,),
    ),
)
