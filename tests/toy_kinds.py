"""The toy's machines asked for more than whether they fail: how much they wear, and what made them fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from heliostat import Age, Classes, Decay, Encoded, Quantity, Trees, Workload
from heliostat.declared.training import Training
from heliostat.metrics import log_loss, mse
from tests import toy

CAUSES = ("none", "heat", "cold")


@dataclass(frozen=True)
class Asked:
    """Readings of machines with another label, as known when the first one was."""

    label: str
    machines: toy.Machines

    def parts(self) -> Sequence[str]:
        """The months."""
        return self.machines.parts()

    def read(self, part: str) -> pa.Table:
        """One month, with the label in place of whether the machine failed."""
        rows = self.machines.read(part)
        random = np.random.default_rng([11, self.machines.parts().index(part)])
        load, temperature = rows["load_percent"].to_numpy(), rows["temperature_c"].fill_null(10.0).to_numpy()
        if self.label == "wear_um":
            values = 200 + 3 * load + random.normal(0, 20, rows.num_rows)
        else:
            heat, cold = load / 15 - 4, (10 - temperature) / 5
            logits = np.stack([np.zeros(rows.num_rows), heat, cold], axis=1) + random.gumbel(size=(rows.num_rows, 3))
            values = np.array(CAUSES)[logits.argmax(axis=1)]
        never = rows["failed"].is_null().to_numpy()
        labels = pa.array(values.tolist(), mask=never)
        return rows.drop_columns(["failed"]).append_column(self.label, labels)


class Several(nn.Module):
    """The toy's network with one output a class."""

    def __init__(self, num_sites: int, num_outputs: int) -> None:
        super().__init__()
        self.site = nn.Embedding(num_sites, 4)
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.SiLU(), nn.Linear(16, num_outputs))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a class."""
        logits: torch.Tensor = self.layers(torch.cat([encoded["numbers"], self.site(encoded["site"])], dim=1))
        return logits


def causes(sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network for the sites that training saw."""
    return Several(sizes["site"], len(CAUSES))


FEW = toy.Machines(rows_per_part=400)
QUICK = Training(epochs=8, batch_size=64, learning_rate=2e-2)


def _asked(name: str, label: Quantity | Classes, **others: object) -> Workload:
    loop = replace(toy.workload.loop, min_holdout_rows=50)
    usual = {"metrics": None, "gates": None, "training": QUICK, "loop": loop, "replay": None}
    return replace(toy.workload, name=name, source=Asked(label.name, FEW), label=label, **(usual | others))


wear = _asked(
    "wear",
    Quantity("wear_um", low=0, unit="µm"),
    retrain_on=(Decay(mse, margin=100.0, min_rows=300), Age(toy.timedelta(days=60))),
)
cause = _asked(
    "cause",
    Classes("cause", values=CAUSES),
    model=causes,
    retrain_on=(Decay(log_loss, margin=0.05, min_rows=300), Age(toy.timedelta(days=60))),
)
trees = Trees(rounds=60, patience=10, learning_rate=0.1, depth=3)
