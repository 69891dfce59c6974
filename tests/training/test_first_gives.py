"""What the first of two workers does for both, each a process of its own."""

import os
import subprocess
import sys

from tests.training.conftest import ROOT

RANK = """
import sys
import torch.distributed as dist
from heliostat.errors import TrainingError
from heliostat.learn import parallel
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

def fails():
    raise TrainingError(f"worker {rank} says so")

print(parallel.first_gives(lambda: {"worker": rank}))
try:
    parallel.first_gives(fails)
except TrainingError as error:
    print(error)
dist.destroy_process_group()
"""


def test_what_the_first_worker_gives_or_refuses_all_get(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=120)[0].decode().splitlines() for rank in ranks]
    assert printed == [["{'worker': 0}", "worker 0 says so"]] * 2
