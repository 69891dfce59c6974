"""The smallest honest workload: machines that fail, and a cause of failure that moves over the months.

A high load breaks machines at first; by summer it is the cold ones that break. A site opens in April, temperatures are
sometimes missing, and what became of a machine is known days later, or never.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat import Age, Batch, Binary, Category, Encoded, LongAnswers, Loop, Number, Replay, Training, Workload
from heliostat.gates import BetterThanConstant, NoWorseThanChampion
from heliostat.metrics import log_loss
from heliostat.triggers import Decay, Drift, Growth

MONTHS = tuple(f"2024-{month:02d}" for month in range(1, 9))
SITES = ("alpha", "beta", "gamma", "delta")
SITE_EFFECT = np.array([-0.8, 0.0, 0.8, 1.2])
NEW_SITE_MONTH = 3  # "delta" opens in April
LABEL_DUE_AFTER = timedelta(days=6)


@dataclass(frozen=True)
class Machines:
    """Readings of machines, one part a month; the same numbers every time."""

    rows_per_part: int = 1500

    def parts(self) -> list[str]:
        """The months, in order of time."""
        return list(MONTHS)

    def read(self, part: str) -> pa.Table:
        """One month of readings in order of time, each with what became of the machine."""
        month = MONTHS.index(part)
        random = np.random.default_rng([7, month])
        read_at = _instants(part, random.random(self.rows_per_part))
        load = random.uniform(5, 95, self.rows_per_part)
        temperature = random.normal(5 + 3 * month, 6, self.rows_per_part).clip(-30, 60)
        site = random.integers(0, 4 if month >= NEW_SITE_MONTH else 3, self.rows_per_part)
        failed = random.random(self.rows_per_part) < _risk(load, temperature, site, month=month)
        known_after = random.uniform(0.2, 5.8, self.rows_per_part) * 86_400e6
        never = random.random(self.rows_per_part) < 0.03
        return pa.table(
            {
                "reading": [f"{part}-{row:06d}" for row in range(self.rows_per_part)],
                "read_at": _to_arrow(read_at),
                "checked_by": _to_arrow(read_at + np.timedelta64(LABEL_DUE_AFTER)),
                "checked_at": _to_arrow(read_at + known_after.astype("m8[us]"), missing=never),
                "load_percent": load,
                "temperature_c": pa.array(temperature, mask=random.random(self.rows_per_part) < 0.1),
                "site": np.array(SITES)[site].tolist(),
                "failed": pa.array(failed.astype(np.float64), mask=never),
            }
        )


def _instants(part: str, shares: NDArray[np.float64]) -> NDArray[np.datetime64]:
    start = np.datetime64(part, "us")
    length = np.datetime64(np.datetime64(part, "M") + 1, "us") - start
    return np.sort(start + (shares * length.astype(np.int64)).astype("m8[us]"))


def _to_arrow(instants: NDArray[np.datetime64], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(instants, pa.timestamp("us"), mask=missing).cast(pa.timestamp("us", tz="UTC"))


def _risk(
    load: NDArray[np.float64], temperature: NDArray[np.float64], site: NDArray[np.int64], *, month: int
) -> NDArray[np.float64]:
    turned = min(1.0, month / 5)
    heat = (load - 50) / 18 * (1 - turned) - (temperature - 5 - 3 * month) / 4 * turned
    return np.asarray(1 / (1 + np.exp(0.6 - heat - SITE_EFFECT[site])))


def encode(batch: Batch) -> Encoded:
    """Two scaled numbers with a mark for the missing temperature, and the code of the site."""
    temperature = batch["temperature_c"].astype(np.float32)
    missing = np.isnan(temperature)
    load = batch["load_percent"].astype(np.float32) / 50 - 1
    numbers = np.stack([load, np.where(missing, 0, temperature / 20), missing], axis=1, dtype=np.float32)
    return {"numbers": torch.from_numpy(numbers), "site": torch.from_numpy(batch["site"])}


class Network(nn.Module):
    """An embedding of the site beside the numbers, and one hidden layer."""

    def __init__(self, num_sites: int) -> None:
        super().__init__()
        self.site = nn.Embedding(num_sites, 4)
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        inputs = torch.cat([encoded["numbers"], self.site(encoded["site"])], dim=1)
        logits: torch.Tensor = self.layers(inputs).squeeze(1)
        return logits


def model(sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network for the sites that training saw."""
    return Network(sizes["site"])


workload = Workload(
    name="toy",
    source=Machines(),
    key="reading",
    event_time="read_at",
    due_time="checked_by",
    label_time="checked_at",
    columns=(
        Number("load_percent", low=0, high=100),
        Number("temperature_c", low=-40, high=70, optional=True),
        Category("site"),
    ),
    label=Binary("failed"),
    encode=encode,
    model=model,
    gates=(BetterThanConstant(log_loss), NoWorseThanChampion(log_loss)),
    retrain_on=(
        Drift(psi=0.5, windows=3),
        Decay(log_loss, margin=0.03, min_rows=300),
        Growth(0.125),
        Age(timedelta(days=60)),
    ),
    training=Training(epochs=6, batch_size=128, learning_rate=1e-2),
    loop=Loop(follow_ups=True, cooldown=timedelta(days=14), canary_span=timedelta(days=7)),
    long_answers=LongAnswers(callback_prefixes=("http://127.0.0.1:31990/hooks/",), callback_waits_s=(0.5, 0.5, 0.5)),
    replay=Replay(since=datetime(2024, 3, 1, tzinfo=UTC), until=datetime(2024, 4, 27, tzinfo=UTC)),
)
