"""The workload of `benchmarks/serving.py`: 32 numbers, the network of `benchmarks/network.py`, rows from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from benchmarks.network import NUM_INPUTS, network
from heliostat import Age, Batch, Binary, Encoded, Number, Serving, Workload

NAMES = tuple(f"f{number:02d}" for number in range(NUM_INPUTS))
NUM_ROWS = 400
FIRST_AT = np.datetime64("2024-01-01", "us")


@dataclass(frozen=True)
class Rows:
    """Rows of a standard normal distribution; the label is the sign of the first number."""

    def parts(self) -> list[str]:
        """One part."""
        return ["all"]

    def read(self, part: str) -> pa.Table:
        """All rows, one a minute; the part does not matter, there is one."""
        inputs = np.random.default_rng(1).standard_normal((NUM_INPUTS, NUM_ROWS))
        asked_at = FIRST_AT + np.arange(NUM_ROWS).astype("m8[m]")
        instants = pa.array(asked_at, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
        return pa.table(
            {
                "question": [f"q{row}" for row in range(NUM_ROWS)],
                "asked_at": instants,
                "due_at": instants,
                "known_at": instants,
                "is_positive": (inputs[0] > 0).astype(np.float64),
                **dict(zip(NAMES, inputs, strict=True)),
            }
        )


def encode(batch: Batch) -> Encoded:
    """One float32 matrix, a row a question."""
    columns = np.array([batch[name] for name in NAMES], np.float32)
    return {"inputs": torch.from_numpy(columns).T}


class Margin(nn.Module):
    """The second logit less the first: one number a row that means the same probability."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        logits = self.layers(encoded["inputs"])
        margin: torch.Tensor = logits[:, 1] - logits[:, 0]
        return margin


def model(_: Mapping[str, int]) -> nn.Module:
    """The network with its weights: there is nothing to fit."""
    return Margin()


workload = Workload(
    name="mlp",
    source=Rows(),
    key="question",
    event_time="asked_at",
    due_time="due_at",
    label_time="known_at",
    columns=[Number(name, low=-100, high=100) for name in NAMES],
    label=Binary("is_positive"),
    encode=encode,
    model=model,
    retrain_on=[Age(timedelta(days=3650))],
    serving=Serving(num_replicas=1),
)
