"""A network laid out over several workers, each a process of its own."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import workload
from tests.toy_rows import labelled_rows

QUICK = replace(workload, training=replace(workload.training, epochs=3))
ROOT = Path(__file__).parents[2]

SHARDED = """
import os, sys
from dataclasses import replace
from pathlib import Path
import torch, torch.distributed as dist
from safetensors.torch import save_file
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from tests.toy import workload
from tests.toy_rows import labelled_rows
torch.set_num_threads(1)
rank, folder, num_ranks, resumes = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "resumes"
dist.init_process_group("gloo", init_method=f"file://{folder}/meet{num_ranks}", rank=rank, world_size=num_ranks)
sharded = replace(workload, training=replace(workload.training, epochs=3, shard=True, checkpoint_steps=4, accumulate=2))
parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
resume = FitState.from_bytes((folder / "state").read_bytes()) if resumes else None

def keep(state):
    if not resumes and (state.num_epochs, state.num_steps) == (1, 4):
        if rank == 0:
            (folder / "state").write_bytes(state.to_bytes())
        dist.barrier()
        os._exit(7)

fitted = fit(sharded, *parts, seed=1, on_epoch=keep, resume=resume)
save_file(dict(fitted.weights), f"{folder}/{rank}.safetensors")
dist.destroy_process_group()
"""


def sharded_ranks(folder, num_ranks: int, how: str) -> list[int]:
    """The exit codes of so many workers that share one network."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SHARDED]
    ranks = [
        subprocess.Popen([*command, str(rank), str(folder), str(num_ranks), how], env=environment, cwd=ROOT)
        for rank in range(num_ranks)
    ]
    return [rank.wait(timeout=150) for rank in ranks]


def test_a_network_laid_out_over_two_workers_goes_on_over_three_and_is_the_one_that_one_fits(tmp_path):
    assert sharded_ranks(tmp_path, 2, "begins") == [7, 7]
    assert sharded_ranks(tmp_path, 3, "resumes") == [0, 0, 0]
    found = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(3)]
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    alone = fit(QUICK, *parts, seed=1).weights
    for weights in found:
        assert all(torch.equal(weights[name], found[0][name]) for name in alone)
        assert all(torch.allclose(weights[name], alone[name], atol=1e-3) for name in alone)
