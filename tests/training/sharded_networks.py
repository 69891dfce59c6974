"""Networks of every kind, fitted by each of some workers in turn: `... RANK NUM_RANKS FOLDER HOW`, without Ray.

HOW is "sharded" (laid out over the workers, a checkpoint inside an epoch kept), "copied" (each has all of it) or
"resumes" (as "sharded", from that checkpoint).
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from heliostat import Binary, Category, Encoded, Number, Quantity, Text, Training, Vector, Workload
from heliostat.columns import Column
from heliostat.learn import parts
from heliostat.learn.fit import fit
from heliostat.learn.forecast import forecast_network
from heliostat.learn.images import image_network
from heliostat.learn.network import TabularNetwork, stack
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from heliostat.learn.tabular import network
from heliostat.learn.text import text_network
from tests.toy import Machines

NUM_ROWS, NUM_PIXELS, NUM_STEPS = 400, 64, 6
NUMBERS = (Number("a", -10, 10), Number("b", -10, 10))
SITE, NOTE, IMAGE = Category("site"), Text("note", num_buckets=256), Vector("image", NUM_PIXELS)
STEPS = Number("steps", 1, NUM_STEPS)
TRAINING = Training(epochs=3, batch_size=64, learning_rate=1e-2, checkpoint_steps=3)
LEFT_AT = (1, 3)  # epochs, and batches of the next one


def encode(batch: Mapping[str, np.ndarray]) -> Encoded:
    """The two numbers."""
    return {"numbers": torch.from_numpy(np.stack([batch["a"], batch["b"]], axis=1).astype(np.float32))}


class Listed(nn.Module):
    """Layers in a list that cannot be called."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 16), nn.Linear(16, 1)])

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return self.layers[1](self.layers[0](encoded["numbers"]).relu()).squeeze(1)


class Single(Listed):
    """A weight that is a single number."""

    def __init__(self) -> None:
        super().__init__()
        self.stretch = nn.Parameter(torch.tensor(0.5))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return self.stretch * super().forward(encoded)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.second.weight = self.first.weight

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return self.last(self.second(self.first(encoded["numbers"]).relu())).squeeze(1)


class Borrowed(Listed):
    """A layer whose weights are used, but which is never called."""

    def forward(self, encoded: Encoded) -> torch.Tensor:
        hidden = nn.functional.linear(encoded["numbers"], self.layers[0].weight, self.layers[0].bias)
        return self.layers[1](hidden.relu()).squeeze(1)


class Unused(Listed):
    """A layer that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.later = nn.Linear(3, 3)


class Branching(Listed):
    """A layer for few rows, of which a worker's share of a batch may have none."""

    def __init__(self) -> None:
        super().__init__()
        self.rare = nn.Linear(2, 1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        outputs, is_rare = super().forward(encoded), encoded["numbers"][:, 1] > 1.5
        if not is_rare.any():
            return outputs
        return outputs.masked_scatter(is_rare, self.rare(encoded["numbers"][is_rare]).squeeze(1))


def _workload(columns: tuple[Column, ...], label: Binary | Quantity | None = None, **options: object) -> Workload:
    return Workload(
        **{
            "name": "networks",
            "source": Machines(),
            "key": "id",
            "event_time": "at",
            "due_time": "due",
            "label_time": "known",
            "columns": columns,
            "label": label or Binary("label"),
            **options,
            "training": TRAINING,
        }
    )


def _own(kind: type[nn.Module]) -> Workload:
    return _workload(NUMBERS, encode=encode, model=lambda _: kind())


def _tabular(*columns: Column, **options: object) -> Workload:
    return _workload(columns, **network(columns, **options))


def _flights(**options: object) -> Workload:
    return _workload(
        (*NUMBERS, SITE),
        encode=lambda batch: stack([batch["a"], batch["b"]], categories=[batch["site"]]),
        model=lambda sizes: TabularNetwork(2, [sizes["site"]], **options),
    )


def _forecast(**options: object) -> Workload:
    label = Quantity("label")
    return _workload(
        (IMAGE, STEPS), label, **forecast_network(IMAGE, [STEPS], label, horizon=NUM_STEPS, seasons=(7,), **options)
    )


# What one process fits, too. Not so what draws numbers while it learns, or normalises by the rows of a worker's batch.
ALIKE = {
    "tabular without noise": _tabular(*NUMBERS, SITE, NOTE, num_members=1, hide=0.0, dropout=0.0),
    "text": _workload((NOTE,), **text_network(NOTE)),
    "a list": _own(Listed),
    "a single number": _own(Single),
    "one weight twice": _own(Tied),
    "borrowed weights": _own(Borrowed),
    "unused weights": _own(Unused),
}
NETWORKS = {
    **ALIKE,
    "a branch": _own(Branching),
    "tabular": _tabular(*NUMBERS, SITE, NOTE, IMAGE),
    "forecast": _forecast(),
    "numbers and categories": _flights(),
    "image": _workload((IMAGE,), **image_network(IMAGE, height=8, width=8)),
}


def table(workload: Workload) -> pa.Table:
    """Rows for a workload, of which every column says something about the label."""
    random = np.random.default_rng(3)
    a, steps = random.normal(size=NUM_ROWS), random.integers(1, NUM_STEPS + 1, NUM_ROWS)
    image = (random.normal(size=(NUM_ROWS, NUM_PIXELS)) + a[:, None]).astype(np.float32)
    label = a + 0.3 * steps if isinstance(workload.label, Quantity) else (a > 0).astype(float)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    at = [start + timedelta(minutes=7 * row) for row in range(NUM_ROWS)]
    columns = {
        "a": a,
        "b": random.normal(size=NUM_ROWS),
        "site": np.where(a > 0.5, "north", random.choice(["south", "west"], NUM_ROWS)),
        "note": [f"{'warm' if value > 0 else 'cold'} and {'dry' if row % 3 else 'wet'}" for row, value in enumerate(a)],
        "image": pa.FixedSizeListArray.from_arrays(pa.array(image.ravel()), NUM_PIXELS),
        "steps": steps.astype(float),
    }
    own = {column.name: columns[column.name] for column in workload.columns}
    known = {"key": [f"r{row}" for row in range(NUM_ROWS)], "event_at": pa.array(at, pa.timestamp("us", tz="UTC"))}
    return pa.table({**known, "label": label, **own})


def fitted(name: str, folder: Path, how: str) -> dict[str, torch.Tensor]:
    """The weights of one network, with its losses beside them; of a sharded one on the first worker alone."""
    own = NETWORKS[name]
    own = replace(own, training=replace(own.training, shard=how != "copied"))
    rows = split_by_time(table(own), share=0.2)
    left = folder / f"{name} parts"

    def keep(state: FitState) -> None:
        if how == "sharded" and (state.num_epochs, state.num_steps) == LEFT_AT:
            (folder / f"{name} header.json").write_text(json.dumps(state.header()))
            parts.write(state, left)

    def resumed() -> FitState:
        return FitState.of(json.loads((folder / f"{name} header.json").read_text()), {}, parts_dir=left)

    found = fit(own, *rows, seed=1, on_epoch=keep, resume=resumed() if how == "resumes" else None)
    losses = torch.tensor([[scores.train_loss, scores.validation_loss] for scores in found.history])
    return {**found.weights, "losses": losses}


def main(rank: int, num_ranks: int, folder: Path, how: str) -> None:
    torch.set_num_threads(1)
    if num_ranks > 1:
        meeting = f"file://{folder}/meet-{how}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=num_ranks)
    for name in NETWORKS if num_ranks > 1 else [*ALIKE, "a branch"]:
        weights = fitted(name, folder, how)
        if rank == 0:
            save_file({each: tensor.clone() for each, tensor in weights.items()}, folder / f"{name} {how}-{num_ranks}")
    if num_ranks > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
