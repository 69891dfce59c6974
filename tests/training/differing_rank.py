"""One of several workers whose numbers differ: `... RANK NUM_RANKS FOLDER HOW`, without Ray.

HOW is "fits" (losses on later rows fall on the first worker and rise on others) or "chooses" (so does who is best).
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import binary_cross_entropy_with_logits

from heliostat.learn import parallel
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from jobs._contest import Contest, Version
from jobs._windows import Candidate
from tests.toy import workload
from tests.toy_rows import labelled_rows


def fits() -> dict[str, object]:
    """How many epochs a fit took that ends where later rows are told worse, which they are on one worker alone."""
    epochs = count()

    def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found = binary_cross_entropy_with_logits(outputs, labels)
        return found if outputs.requires_grad else found + next(epochs) * (1 if parallel.own_rank() else -1)

    training = replace(workload.training, epochs=4, patience=1)
    rows = split_by_time(labelled_rows("2024-01", rows_per_part=400), share=0.2)
    fitted = fit(replace(workload, loss=loss, training=training), *rows, seed=1)
    return {"epochs": len(fitted.history), "best": fitted.best_epoch, "sum": float(fitted.weights["site.weight"].sum())}


class Differing(Contest):
    """A contest whose answers are better or worse from worker to worker."""

    def _own_losses(self, bundle_uri: str, bundle_hash: str) -> np.ndarray:
        is_better = (bundle_uri == "first") == (parallel.own_rank() == 0)
        return np.full(self._holdout.num_rows, 0.5 if bundle_uri == "champion" else 0.2 if is_better else 0.4)


def chooses() -> dict[str, object]:
    """Which of two candidates is fitted again."""
    rows = labelled_rows("2024-01", "2024-02", rows_per_part=800)
    at = datetime(2024, 2, 1, tzinfo=UTC)
    champion = Version(number=1, bundle_uri="champion", bundle_hash="", last_event_at=datetime(2024, 1, 1, tzinfo=UTC))
    contest = Differing(workload, rows, champion=champion, holdout_at=at)
    assert contest.is_open
    names = {"first": None, "second": at}
    for name, since in names.items():
        contest.add(Candidate(name=name, since=since), {"bundle_uri": name, "bundle_hash": ""})
    return {"winner": contest.winner().name}


def main(rank: int, num_ranks: int, folder: Path, how: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{how}", rank=rank, world_size=num_ranks)
    found = fits() if how == "fits" else chooses()
    (folder / f"{how}-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
