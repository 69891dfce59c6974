"""Machines that fail by their load, and a network that goes wrong in ways that no hold-out shows.

Every week brings another firmware, so a network that knows so many of them was fitted in a certain turn, and knows more
of them than its twin, which the gates judge. One such fit answers the other way round, a later one takes its time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from heliostat import Age, Batch, Category, Encoded, Loop, Training
from tests import toy

START = datetime(2024, 1, 1, tzinfo=UTC)
BAD_LEVELS, SLOW_LEVELS = (10,), (12, 13, 14)
PAUSE_S = 0.2
UNLUCKY = 0.02  # of the machines fail, or hold, whatever the load is


@dataclass(frozen=True)
class Machines:
    """The toy's readings with the firmware of the week, and a label that follows from the load."""

    readings: toy.Machines

    def parts(self) -> Sequence[str]:
        """The months."""
        return self.readings.parts()

    def read(self, part: str) -> pa.Table:
        """One month."""
        rows = self.readings.read(part)
        is_unlucky = np.random.default_rng([5, self.parts().index(part)]).random(rows.num_rows) < UNLUCKY
        failed = ((rows["load_percent"].to_numpy() > 50) ^ is_unlucky).astype(np.float64)
        known = pa.array(failed, mask=np.asarray(rows["failed"].is_null().to_numpy(), bool))
        weeks = [(at - START) // timedelta(weeks=1) for at in rows["read_at"].to_pylist()]
        rows = rows.set_column(rows.column_names.index("failed"), "failed", known)
        return rows.append_column("firmware", pa.array([f"week {week}" for week in weeks]))


def encode(batch: Batch) -> Encoded:
    """The load beyond one half, which is all that matters; the firmware only says how many there are."""
    return {"load": torch.from_numpy(np.asarray(batch["load_percent"] - 50, np.float32)[:, None] / 5)}


class Network(nn.Module):
    """One weight, begun near the truth."""

    def __init__(self, num_levels: int) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.weight = nn.Linear(1, 1)
        nn.init.ones_(self.weight.weight)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row; a planted network goes wrong once it is not trained any more."""
        logits: torch.Tensor = self.weight(encoded["load"]).squeeze(1)
        if self.training:
            return logits
        if self.num_levels in SLOW_LEVELS:
            time.sleep(PAUSE_S)
        return -logits if self.num_levels in BAD_LEVELS else logits


def model(sizes: Mapping[str, int]) -> nn.Module:
    """A network that knows how many firmwares there were; two codes are of none."""
    return Network(sizes["firmware"] - 2)


workload = replace(
    toy.workload,
    name="toy-planted",
    source=Machines(toy.Machines(rows_per_part=900)),
    columns=(*toy.workload.columns, Category("firmware")),
    encode=encode,
    model=model,
    retrain_on=(Age(timedelta(days=10)),),
    training=Training(epochs=2, batch_size=128, learning_rate=1e-3),
    loop=Loop(cooldown=timedelta(days=10), canary_span=timedelta(days=2), min_holdout_rows=100),
)
