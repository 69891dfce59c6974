"""The toy a year on: temperature is measured no more, the site has a new name, and the shift is new."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from heliostat import Batch, Category, Encoded, Number, Revision
from tests import toy

SHIFTS = ("day", "night")


class Machines(toy.Machines):
    """The same readings with the columns of today."""

    def read(self, part: str) -> pa.Table:
        """One month of readings."""
        table = super().read(part)
        renamed = table.rename_columns(["plant" if name == "site" else name for name in table.column_names])
        shift = np.where(np.arange(table.num_rows) % 3 == 0, "night", "day")
        return renamed.drop_columns(["temperature_c"]).append_column("shift", pa.array(shift, pa.string()))


def encode(batch: Batch) -> Encoded:
    """The scaled load and the codes of plant and shift."""
    load = batch["load_percent"].astype(np.float32)[:, None] / 50 - 1
    codes = np.stack([batch["plant"], batch["shift"]], axis=1).astype(np.float32)
    return {"numbers": torch.from_numpy(np.concatenate([load, codes], axis=1))}


class Network(nn.Module):
    """One hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        logits: torch.Tensor = self.layers(encoded["numbers"]).squeeze(1)
        return logits


workload = replace(
    toy.workload,
    source=Machines(),
    columns=(Number("load_percent", low=0, high=100), Category("plant"), Category("shift", closed=SHIFTS)),
    encode=encode,
    model=lambda sizes: Network(),
    revision=2,
    earlier=(
        Revision(
            number=1,
            columns=tuple(toy.workload.columns),
            deprecated_at=datetime(2024, 1, 1, tzinfo=UTC),
            sunset_at=datetime(2024, 7, 1, tzinfo=UTC),
            renamed={"site": "plant"},
            fill={"shift": "day"},
        ),
    ),
)
