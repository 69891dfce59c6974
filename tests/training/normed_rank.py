"""One worker: its buffers and its fit of a network with batch normalisation, `... RANK FOLDER NUM_RANKS`."""

import sys
from dataclasses import replace

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from heliostat.learn import parallel
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import Network, workload
from tests.toy_rows import labelled_rows


class Normed(Network):
    """The toy's, its inputs normalised by the mean over all batches seen."""

    def __init__(self, num_sites: int) -> None:
        super().__init__(num_sites)
        self.norm = nn.BatchNorm1d(3, momentum=None)

    def forward(self, encoded):
        return super().forward({**encoded, "numbers": self.norm(encoded["numbers"])})


def shared(rank: int) -> dict[str, torch.Tensor]:
    """Buffers that differ and buffers that do not, made equal after 100 rows of the first and 300 of the second."""
    module = nn.BatchNorm1d(2)
    module.running_mean.fill_(1.0 + rank)
    module.num_batches_tracked.fill_(7)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    module.register_buffer("scale", torch.tensor([0.1, 1 / 3], dtype=torch.float64))
    parallel.share_buffers(module, num_rows=100 + 200 * rank)
    return dict(module.named_buffers())


def main(rank: int, folder: str, num_ranks: int) -> None:
    torch.set_num_threads(1)
    if num_ranks > 1:
        meet = f"file://{folder}/meet"
        dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=num_ranks)
        save_file(shared(rank), f"{folder}/buffers-{rank}.safetensors")
    training = replace(workload.training, epochs=3)
    normed = replace(workload, training=training, model=lambda sizes: Normed(sizes["site"]))
    fitted = fit(normed, *split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2), seed=1)
    losses = torch.tensor([scores.validation_loss for scores in fitted.history])
    save_file({**fitted.weights, "losses": losses}, f"{folder}/{num_ranks}-{rank}.safetensors")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
