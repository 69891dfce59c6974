"""The toy with a vector beside its columns: eight vibrations of the machine, whose mean says more than its load."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from heliostat import Batch, Encoded, Vector
from heliostat.learn.network import tensor
from heliostat.vectors import from_matrix
from tests import toy

LENGTH = 8
SPECTRUM = "spectrum"


@dataclass(frozen=True)
class Vibrating(toy.Machines):
    """Readings of machines with their vibrations, some of which are missing; the same numbers every time."""

    def read(self, part: str) -> pa.Table:
        """One month of readings."""
        table = super().read(part)
        random = np.random.default_rng([11, toy.MONTHS.index(part)])
        load = table["load_percent"].to_numpy()[:, np.newaxis]
        vibrations = (load / 50 - 1 + random.normal(size=(table.num_rows, LENGTH))).clip(-9, 9).astype(np.float32)
        present = pa.array(random.random(table.num_rows) < 0.95)
        column = pa.compute.if_else(present, from_matrix(vibrations), pa.scalar(None, pa.list_(pa.float32())))
        return table.append_column(SPECTRUM, column)


def encode(batch: Batch) -> Encoded:
    """The toy's tensors, and the vibrations as they came."""
    return {**toy.encode(batch), SPECTRUM: tensor(batch[SPECTRUM])}


class Network(nn.Module):
    """The toy's network beside one linear layer of the vibrations."""

    def __init__(self, num_sites: int) -> None:
        super().__init__()
        self.others = toy.Network(num_sites)
        self.vibrations = nn.Linear(LENGTH, 1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        logits: torch.Tensor = self.others(encoded) + self.vibrations(encoded[SPECTRUM].nan_to_num()).squeeze(1)
        return logits


def model(sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network for the sites that training saw."""
    return Network(sizes["site"])


workload = replace(
    toy.workload,
    source=Vibrating(rows_per_part=600),
    columns=(*toy.workload.columns, Vector(SPECTRUM, LENGTH, low=-10, high=10, optional=True)),
    encode=encode,
    model=model,
)
