"""The toy workload with the answer of `toy` as one of its inputs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from heliostat import Batch, Encoded, Input, Number
from tests import toy_quick


def encode(batch: Batch) -> Encoded:
    """The other's probability, one half where there is none."""
    score = batch["score_of_toy"].astype(np.float32)
    return {"score": torch.from_numpy(np.where(np.isnan(score), np.float32(0.5), score) * 2 - 1)}


class Network(nn.Module):
    """One number in, one logit out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        logits: torch.Tensor = self.layer(encoded["score"].unsqueeze(1)).squeeze(1)
        return logits


def model(_: Mapping[str, int]) -> nn.Module:
    """A fresh network."""
    return Network()


workload = replace(
    toy_quick.workload,
    name="toy-chain",
    columns=(*toy_quick.workload.columns, Number("score_of_toy", low=0, high=1, optional=True)),
    inputs=(Input(column="score_of_toy", workload="toy"),),
    encode=encode,
    model=model,
)
