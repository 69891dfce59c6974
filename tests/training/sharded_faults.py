"""One of several workers that share a network, its code with a mistake: `... RANK NUM_RANKS FOLDER HOW`, without Ray.

HOW names the mistake. What the fit ends with, and after how many seconds, is printed to a file; then the process ends,
as Ray ends one whose fit failed.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heliostat.errors import TrainingError
from heliostat.learn.calibrate import Calibration
from heliostat.learn.fit import fit, refit
from heliostat.learn.rows import split_by_time
from tests import toy
from tests.toy_rows import labelled_rows

# Loads that one row alone has; by the early one the workers try which parts the network has.
ODD, EARLY = 41.5, 42.5
ODD_ROW, EARLY_ROW = 800, 77


def encode_raises(batch):
    if (batch["load_percent"] == ODD).any():
        raise ValueError("no such load")
    return toy.encode(batch)


def encode_gives_nan(batch):
    encoded = toy.encode(batch)
    encoded["numbers"][torch.from_numpy(batch["load_percent"] == ODD), 0] = float("nan")
    return encoded


def encode_large(batch):
    return {**toy.encode(batch), "numbers": toy.encode(batch)["numbers"] * 1e30}


def loss_of_zero_is_infinite(logits, labels):
    return binary_cross_entropy_with_logits(logits, labels) + torch.log(1 - (labels - 1).abs()).mean()


class Picky(toy.Network):
    load = np.float32(ODD)

    def forward(self, encoded):
        if (encoded["numbers"][:, 0] == self.load / 50 - 1).any():
            raise ValueError("no such load")
        return super().forward(encoded)


class PickyAtOnce(Picky):
    load = np.float32(EARLY)


class Rooted(toy.Network):
    def forward(self, encoded):
        return super().forward(encoded) + (self.layers[2].bias * 0).sum().abs().sqrt()


def of(kind: type[toy.Network]):
    def model(sizes: Mapping[str, int]) -> nn.Module:
        return kind(sizes["site"])

    return model


MISTAKES = {
    "encode raises": {"encode": encode_raises},
    "encode gives nan": {"encode": encode_gives_nan},
    "the loss is infinite": {"loss": loss_of_zero_is_infinite},
    "the gradient explodes": {"encode": encode_large},
    "forward raises": {"model": of(Picky)},
    "forward raises at once": {"model": of(PickyAtOnce)},
    "the last step spoils a weight": {"model": of(Rooted)},
}
RATES = {"the gradient explodes": 1e6}


def parts() -> tuple[pa.Table, pa.Table]:
    """Rows to learn from, with two odd ones, and later ones."""
    train, later = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    loads = train["load_percent"].to_pylist()
    loads[ODD_ROW], loads[EARLY_ROW] = ODD, EARLY
    return train.set_column(train.column_names.index("load_percent"), "load_percent", [loads]), later


def main(rank: int, num_ranks: int, folder: Path, how: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{how}", rank=rank, world_size=num_ranks)
    rate = RATES.get(how, toy.workload.training.learning_rate)
    training = replace(toy.workload.training, epochs=2, shard=True, learning_rate=rate)
    begun_s = time.monotonic()
    try:
        if how == "the last step spoils a weight":  # one step an epoch, and nothing held back that would show it
            own = replace(toy.workload, **MISTAKES[how], training=replace(training, batch_size=10_000))
            refit(own, parts()[0], num_epochs=1, calibration=Calibration(), seed=1)
        else:
            fit(replace(toy.workload, **MISTAKES[how], training=training), *parts(), seed=1)
        told = {"said": None}
    except TrainingError as error:
        told = {"said": str(error)}
    except RuntimeError as error:
        told = {"lost": str(error)}
    (folder / f"{how}-{rank}.json").write_text(json.dumps({**told, "seconds": time.monotonic() - begun_s}))
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
