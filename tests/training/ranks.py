"""Workers of one fit, each a process of its own, without Ray."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def exit_codes(module: str, folder: Path, num_ranks: int, how: str, *, timeout_s: float = 150.0) -> list[int]:
    """The exit codes of so many processes `-m MODULE RANK NUM_RANKS FOLDER HOW`; what they say is in FOLDER's logs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(rank), str(num_ranks), str(folder), how],
            env=environment,
            cwd=ROOT,
            stderr=(folder / f"{how}-{num_ranks}-{rank}.log").open("w"),
        )
        for rank in range(num_ranks)
    ]
    return [rank.wait(timeout=timeout_s) for rank in ranks]
