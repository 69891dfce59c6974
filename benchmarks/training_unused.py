"""What it costs in a step of two workers to look for weights that have no gradient in it.

    python -m benchmarks.training_unused [--steps 300] [--layers 2] [--width 128]

Two processes (gloo, CPU, one thread each), each with two copies of one network of plain layers, one of which looks
(`find_unused_parameters`); they take their steps in turn, so that what else the machine does falls on both alike. The
medians of the first worker's steps are printed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

NUM_ROWS = 256


def network(width: int, layers: int) -> nn.Module:
    torch.manual_seed(1)
    inner = (each for _ in range(layers) for each in (nn.Linear(width, width), nn.ReLU()))
    return nn.Sequential(*inner, nn.Linear(width, 1))


def step_s(module: nn.Module, optimizer: torch.optim.Optimizer, rows: torch.Tensor) -> float:
    began_s = time.perf_counter()
    optimizer.zero_grad()
    module(rows).square().mean().backward()
    optimizer.step()
    return time.perf_counter() - began_s


def worker(rank: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{options.folder}/meet", rank=rank, world_size=2)
    copies = {}
    for looks in (False, True):
        module = DistributedDataParallel(
            network(options.width, options.layers), broadcast_buffers=False, find_unused_parameters=looks
        )
        copies[looks] = module, torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
    taken: dict[bool, list[float]] = {looks: [] for looks in copies}
    for number in range(options.steps):
        rows = torch.randn(NUM_ROWS, options.width)
        for looks in (False, True) if number % 2 else (True, False):
            taken[looks].append(1000 * step_s(*copies[looks], rows))
    if rank == 0:
        told = {
            f"{'looks' if looks else 'does not'} (ms)": round(statistics.median(taken[looks]), 3) for looks in taken
        }
        print(json.dumps({"width": options.width, "layers": options.layers, **told}))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        worker(options.rank, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.training_unused", *sys.argv[1:], "--folder", folder]
        ranks = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(2)]
        if any(rank.wait(timeout=600) for rank in ranks):
            raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
