"""The long toy, fitted by one or two workers, as there is room, with a minute's time to change how many."""

import time
from collections.abc import Mapping
from dataclasses import replace

import torch

from heliostat import Encoded
from tests import toy_long

STEP_S = 0.03


class Network(toy_long.Network):
    """The long toy's, more slowly."""

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        if self.training:
            time.sleep(STEP_S)
        return super().forward(encoded)


def model(sizes: Mapping[str, int]) -> Network:
    """A fresh network."""
    return Network(sizes["site"])


workload = replace(toy_long.workload, model=model, training=replace(toy_long.workload.training, num_workers=(1, 2)))
