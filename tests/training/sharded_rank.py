"""One of several workers that share a network: `... RANK NUM_RANKS FOLDER HOW`, without Ray.

HOW is "whole" (undisturbed), "begins" (all end at a checkpoint, which is kept), "tears" (the last one ends before it
has written its part) or "resumes".
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor

from heliostat.learn import parts
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from tests import toy
from tests.toy_rows import labelled_rows


class Wide(toy.Network):
    """The toy's, with more weights than an optimizer has counts of steps."""

    def __init__(self, num_sites: int) -> None:
        super().__init__(num_sites)
        self.layers = nn.Sequential(nn.Linear(7, 256), nn.SiLU(), nn.Linear(256, 1))


def model(sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network."""
    return Wide(sizes["site"])


OWN = replace(toy.workload, model=model, training=replace(toy.workload.training, epochs=3))
ENDS_AT = (1, 4)  # epochs, and batches of the next one
KILLED = 7


def main(rank: int, num_ranks: int, folder: Path, how: str) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meet-{how}-{num_ranks}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=num_ranks)
    gathered_at = []
    gather = DTensor.full_tensor

    def counted(tensor: DTensor) -> torch.Tensor:
        gathered_at.append(len(told))
        return gather(tensor)

    DTensor.full_tensor = counted
    own = replace(OWN, training=replace(OWN.training, shard=True, checkpoint_steps=4, accumulate=2))
    rows = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    told: list[dict[str, int]] = []

    def keep(state: FitState) -> None:
        tensors = state.tensors().values()
        held = sum((each.to_local() if isinstance(each, DTensor) else each).numel() for each in tensors)
        told.append({"held": held, "all": sum(each.numel() for each in tensors)})
        if (state.num_epochs, state.num_steps) == ENDS_AT and how in ("begins", "tears"):
            if how == "tears" and rank == num_ranks - 1:
                os._exit(KILLED)
            (folder / f"header-{how}.json").write_text(json.dumps(state.header()))
            parts.write(state, folder / how)
            os._exit(KILLED)

    resume = None
    if how == "resumes":
        header = json.loads((folder / "header-begins.json").read_text())
        resume = FitState.of(header, {}, parts_dir=folder / "begins")
    fitted = fit(own, *rows, seed=1, on_epoch=keep, resume=resume)
    found = {"states": told, "gathered_at": gathered_at, "weights": len(fitted.weights)}
    (folder / f"{how}-{num_ranks}-{rank}.json").write_text(json.dumps(found))
    if rank == 0:
        save_file(dict(fitted.weights), folder / f"{how}-{num_ranks}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
