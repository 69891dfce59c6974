"""The quick toy whose own code goes wrong once a file says how: one word in `fault`, in the directory NOTES_DIR.

A word may end in `@1`: then only the worker with that rank does so.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn

from heliostat import Batch, Encoded
from heliostat.metrics import Metric
from tests import toy, toy_quick
from tests.toy_long import NOTES_DIR

FILE = "fault"


def asked() -> str:
    """What goes wrong now in this process."""
    directory = os.environ.get(NOTES_DIR)
    file = None if directory is None else Path(directory) / FILE
    word, _, rank = (file.read_text().strip() if file is not None and file.exists() else "").partition("@")
    own = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return word if not rank or int(rank) == own else ""


def encode(batch: Batch) -> Encoded:
    """The toy's, or what goes wrong in its place."""
    word = asked()
    if word == "encode" and (batch["load_percent"] > 90).any():
        raise ValueError("the scale ends at 90")
    if word == "exit" and (batch["load_percent"] > 90).any():
        sys.exit("the scale ends here")
    if word == "end":
        os._exit(3)
    if word == "memory":
        raise MemoryError("Unable to allocate 9.00 TiB")
    return toy.encode(batch)


class Network(toy.Network):
    """The toy's, or what goes wrong in its place."""

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        if asked() == "network":
            raise RuntimeError("no such site")
        return super().forward(encoded)


def model(sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network."""
    return Network(sizes["site"])


def cost(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """What wrong answers cost, or what goes wrong in its place."""
    if asked() == "metric":
        raise ZeroDivisionError("no machine failed")
    return float(np.abs(labels - answers).mean())


workload = replace(
    toy_quick.workload,
    encode=encode,
    model=model,
    metrics=(*toy_quick.workload.metrics, Metric("cost", cost)),
    training=replace(toy_quick.workload.training, windows=(None,)),
)
