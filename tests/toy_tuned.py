"""The quick toy with a search space: a setting of the training, and the width of its network."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from heliostat import Between, Encoded, OneOf, Tuning
from tests import toy_quick


class Network(nn.Module):
    """One hidden layer of any width."""

    def __init__(self, num_sites: int, width: int) -> None:
        super().__init__()
        self.site = nn.Embedding(num_sites, 4)
        self.layers = nn.Sequential(nn.Linear(7, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        inputs = torch.cat([encoded["numbers"], self.site(encoded["site"])], dim=1)
        logits: torch.Tensor = self.layers(inputs).squeeze(1)
        return logits


def model(sizes: Mapping[str, int], width: int = 8) -> nn.Module:
    """A fresh network for the sites that training saw."""
    return Network(sizes["site"], width)


workload = replace(
    toy_quick.workload,
    name="tuned",
    model=model,
    training=replace(toy_quick.workload.training, epochs=4, windows=(None,)),
    tuning=Tuning(
        space={"learning_rate": Between(1e-4, 1e-1, log=True), "model.width": OneOf((4, 8, 16))},
        num_trials=5,
        max_concurrent=2,
    ),
)
