"""Memory and time of a sharded network's checkpoint: in parts, as fits keep it, against gathered whole, in one run.

    python -m benchmarks.training_parts [--width 2048] [--layers 9]

Two processes share a network of plain layers with AdamW (gloo, CPU). Then 1, 2 and 3 processes go on from the parts.
Each line says the most memory that a worker held in that phase, above what it held when the phase began.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from heliostat.learn import parts
from heliostat.learn.sharding import lay_out
from heliostat.learn.state import FitState, optimizer_tensors

NUM_ROWS = 32
MIB = 1024 * 1024


def memory_mib(field: str) -> float:
    """What Linux says of this process: VmRSS is now, VmHWM the most since it was last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of a phase, and the most memory above that at its start."""
    dist.barrier()
    Path("/proc/self/clear_refs").write_text("5")
    held_mib, started_s = memory_mib("VmRSS"), time.perf_counter()
    work()
    return {
        "seconds": round(time.perf_counter() - started_s, 2),
        "more_mib": round(memory_mib("VmHWM") - held_mib),
        "held_mib": round(held_mib),
    }


def stored(module: nn.Module, optimizer: torch.optim.Optimizer, *, is_gathered: bool) -> FitState:
    """The state as a fit keeps it, or with all parts, as fits kept it before there were parts."""

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.full_tensor() if is_gathered and isinstance(tensor, DTensor) else tensor
        return tensor.detach().cpu().clone()

    weights = {name: copied(tensor) for name, tensor in module.state_dict().items()}
    moments = {name: copied(tensor) for name, tensor in sorted(optimizer_tensors(optimizer).items())}
    return FitState(fingerprint="", weights=weights, best_weights={}, optimizer=moments, history=())


def network(width: int, layers: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    module: nn.Module = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))
    if dist.get_world_size() > 1:
        lay_out(module, parts=[str(number) for number in range(layers)])
    return module, torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)


def worker(rank: int, num_ranks: int, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{num_ranks}", rank=rank, world_size=num_ranks)
    module, optimizer = network(options.width, options.layers)
    told: dict[str, object] = {"rank": rank, "num_ranks": num_ranks}
    header = FitState(fingerprint="", weights={}, best_weights={}, optimizer={}, history=()).header()
    if options.resumes:
        state = FitState.of(header, {}, parts_dir=folder / "parts")
        told["read"] = measured(lambda: parts.read(state, module, optimizer))
        return told
    for _ in range(2):
        module(torch.randn(NUM_ROWS, options.width)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    told["weights_mib"] = round(sum(each.numel() * 4 for each in module.parameters()) / MIB)

    def in_parts() -> None:
        parts.write(stored(module, optimizer, is_gathered=False), folder / "parts")

    def whole() -> None:
        state = stored(module, optimizer, is_gathered=True)
        if rank == 0:
            (folder / "whole").write_bytes(state.to_bytes())

    told["copied"] = measured(lambda: stored(module, optimizer, is_gathered=False))
    told["in_parts"] = measured(in_parts)
    told["whole"] = measured(whole)
    return told


def run(num_ranks: int, folder: Path, options: argparse.Namespace, *, resumes: bool) -> None:
    command = [sys.executable, "-m", "benchmarks.training_parts", "--width", str(options.width)]
    command += ["--layers", str(options.layers), "--folder", str(folder), "--num-ranks", str(num_ranks)]
    command += ["--resumes"] if resumes else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([*command, "--rank", str(rank)], env=environment) for rank in range(num_ranks)]
    if any(rank.wait(timeout=300) for rank in ranks):
        raise SystemExit("a worker failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--num-ranks", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resumes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        print(json.dumps(worker(options.rank, options.num_ranks, options.folder, options)), flush=True)
        dist.destroy_process_group()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(2, folder, options, resumes=False)
        print(json.dumps({path.name: round(path.stat().st_size / MIB) for path in (folder / "parts").iterdir()}))
        for num_ranks in (1, 2, 3):
            run(num_ranks, folder, options, resumes=True)


if __name__ == "__main__":
    main()
