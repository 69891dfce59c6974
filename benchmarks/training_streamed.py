"""Memory of a training worker, and how much of an epoch it computes, with rows in memory and with streamed rows.

    python -m benchmarks.training_streamed [--rows 300000] [--times 8] [--epochs 2]

Rows of the toy are put on files once. Then a process of its own for each fit: "memory" reads all rows and fits,
"streamed" gets its windows from Ray Data, whose tasks are other processes. A process says the most memory that it ever
held, what of that it held once it had loaded everything and fitted nothing, and the share of each epoch in which it did
not wait for rows; in the first, Ray Data starts.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import ray
import torch

from benchmarks.training import BATCH_ROWS, encode, model
from cluster.environment import performance_environment
from heliostat import Training
from heliostat.learn.epochs import Learner
from heliostat.learn.examples import Examples
from heliostat.learn.material import material_of
from heliostat.learn.shares import Feed, Share
from heliostat.learn.streamed import Streamed
from heliostat.store import staged
from jobs._shards import delivered
from tests.toy import MONTHS
from tests.toy import workload as toy
from tests.toy_rows import labelled_rows


def mebibytes() -> int:
    """The most memory that this process ever held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


@dataclass
class Watched:
    """A feed, and how long its batches were waited for."""

    feed: Feed
    waited_s: float = 0.0
    first_s: list[float] = field(default_factory=list)

    def num_batches(self, batch_rows: int) -> int:
        return self.feed.num_batches(batch_rows)

    def shares(self, *, seeds: Sequence[int], batch_rows: int, first_step: int = 0) -> Iterator[tuple[int, Share]]:
        found = self.feed.shares(seeds=seeds, batch_rows=batch_rows, first_step=first_step)
        is_first = True
        while True:
            started_s = time.perf_counter()
            share = next(found, None)
            waited_s = time.perf_counter() - started_s
            if share is None:
                return
            self.waited_s += waited_s
            if is_first:
                self.first_s.append(waited_s)
            is_first = False
            yield share

    def parts(self) -> Iterator[Examples]:
        return self.feed.parts()


def put_on_files(folder: str, num_rows: int) -> None:
    per_month = math.ceil(num_rows / len(MONTHS))
    files = []
    for month in MONTHS:
        rows = labelled_rows(month, rows_per_part=per_month).sort_by([("event_at", "ascending"), ("key", "ascending")])
        files.append(staged.write(folder, f"{month}.arrow", rows))
    staged.finish(folder, files)


def fitted(folder: str, kind: str, epochs: int) -> dict[str, object]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    own = replace(toy, encode=encode, model=model, training=Training(epochs=epochs, batch_size=BATCH_ROWS))
    if kind == "streamed":
        ray.init("local", num_cpus=2, include_dashboard=False, logging_level="WARNING", log_to_driver=False)
    model({"site": 5})
    before = mebibytes()
    rows = staged.opened(folder)
    if kind == "streamed":
        read = partial(staged.read_pieces, folder=folder)
        taught = Streamed(pieces=rows.pieces(0, rows.num_rows), read=read, digest="benchmark", deliver=delivered)
    else:
        taught = rows.rows(0, rows.num_rows)
    started_s = time.perf_counter()
    material = material_of(own, taught, start=None)
    known_s = time.perf_counter() - started_s
    feed = Watched(material.feed)
    learner = Learner(own, model(material.preparation.sizes), objective=material.objective, seed=0, device="cpu")
    losses, epoch_s, waited_s = [], [], []
    for epoch in range(epochs):
        started_s, before_s = time.perf_counter(), feed.waited_s
        losses.append(learner.run_epoch(epoch, feed))
        epoch_s.append(time.perf_counter() - started_s)
        waited_s.append(feed.waited_s - before_s)
    ray.shutdown()
    return {
        "kind": kind,
        "rows": rows.num_rows,
        "before_mib": before,
        "peak_mib": mebibytes(),
        "pass_before_s": round(known_s, 2),
        "epoch_s": [round(each, 2) for each in epoch_s],
        "first_batch_s": [round(each, 2) for each in feed.first_s],
        "busy_share": [round(1 - waited / whole, 4) for waited, whole in zip(waited_s, epoch_s, strict=True)],
        "loss": round(losses[-1], 4),
    }


def main(options: argparse.Namespace) -> None:
    if options.kind == "rows":
        put_on_files(options.folder, options.rows)
        return
    if options.kind is not None:
        print(json.dumps(fitted(options.folder, options.kind, options.epochs)), flush=True)
        return
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        **performance_environment(),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    for times in (1, options.times):
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("rows", "memory", "streamed"):
                given = ["--folder", folder, "--kind", kind, "--rows", str(options.rows * times)]
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.training_streamed",
                    *given,
                    "--epochs",
                    str(options.epochs),
                ]
                subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folder")
    parser.add_argument("--kind", choices=["rows", "memory", "streamed"])
    main(parser.parse_args())
