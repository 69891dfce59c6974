"""The tuned toy with epochs of about a second, and trials that all run to their end: long enough to be paused in."""

import time
from collections.abc import Mapping
from dataclasses import replace

import torch

from heliostat import Encoded
from tests import toy_tuned

STEP_S = 0.1
EPOCHS = 8


class Network(toy_tuned.Network):
    """The tuned toy's, more slowly."""

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        time.sleep(STEP_S)
        return super().forward(encoded)


def model(sizes: Mapping[str, int], width: int = 8) -> Network:
    """A fresh network for the sites that training saw."""
    return Network(sizes["site"], width)


assert toy_tuned.workload.tuning is not None
workload = replace(
    toy_tuned.workload,
    model=model,
    training=replace(toy_tuned.workload.training, epochs=EPOCHS),
    tuning=replace(toy_tuned.workload.tuning, first_epochs=EPOCHS),
)
