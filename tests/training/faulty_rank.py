"""One worker of a run without Ray, which only its checkpoints would ask: `... RUN.json FOLDER RANK NUM_RANKS`."""

import json
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from jobs._fit_run import FitRun
from jobs._fitting import fit_candidates
from tests.ray_train import Attempts


def main(given: str, folder: str, rank: int, num_ranks: int) -> int:
    torch.set_num_threads(1)
    values = json.loads(given)
    if num_ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=num_ranks)
    Attempts(Path(folder) / "checkpoints", pytest.MonkeyPatch())
    try:
        found = fit_candidates({**values, "as_of": datetime.fromisoformat(values["as_of"])})
    except Exception as error:  # noqa: BLE001 (told to the test)
        print(f"{type(error).__name__}: {error}", flush=True)
        return 7
    print(json.dumps(found, default=str), flush=True)
    return 0


if __name__ == "__main__":
    assert set(FitRun.__dataclass_fields__) >= set(json.loads(sys.argv[1]))
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
