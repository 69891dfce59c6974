"""A whole fit beside a loop written by hand, one worker beside two, and what a run of Ray Train costs before it learns.

    python -m benchmarks.training_whole [--only whole,workers,start]

"whole" reads the same rows, learns for the same epochs in the same batches and scores the same later rows, in one
process. "workers" shares each batch among one, two and four processes: of the usual network, made wide, which hides
inputs at random, and of one that leaves nothing to chance. "start" runs the quick toy with two workers on a Ray of its
own and counts the CPU-seconds of every process, by kind.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from torch import nn

from benchmarks.training import BATCH_ROWS, Plain, encode, model, timed
from benchmarks.training_start import start_cost
from heliostat import Encoded, Training
from heliostat.learn.examples import Examples
from heliostat.learn.fit import Fitted, fit
from heliostat.learn.network import TabularNetwork
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import ordered, split_by_time
from tests.toy import workload as toy
from tests.toy_rows import labelled_rows

EPOCHS, ROUNDS = 10, 3
WIDE, NUM_WORKERS = 512, (1, 2, 4)
ROOT = Path(__file__).resolve().parents[1]


def parts(num_rows: int) -> tuple[pa.Table, pa.Table]:
    return split_by_time(labelled_rows("2024-01", rows_per_part=num_rows), share=0.1)


def ours(num_rows: int) -> Fitted:
    training = Training(epochs=EPOCHS, batch_size=BATCH_ROWS, learning_rate=1e-3)
    return fit(replace(toy, encode=encode, model=model, training=training), *parts(num_rows), seed=0)


def by_hand(num_rows: int) -> list[float]:
    """Read, prepare and learn as a script would, scoring the later rows after every epoch."""
    train, later = (ordered(each, toy, purpose="training") for each in parts(num_rows))
    preparation = Preparation.fit(train, toy.columns)
    plain, unseen = Plain(Examples.of(train, preparation), seed=0), Examples.of(later, preparation)
    labels = torch.from_numpy(unseen.labels.astype(np.float32))
    losses = []
    for epoch in range(EPOCHS):
        plain.run(plain.batches(epoch))
        plain.module.eval()
        with torch.inference_mode():
            logits = plain.module(encode(unseen.batch))
            losses.append(float(torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)))
    return losses


def whole(num_rows: int) -> dict[str, object]:
    """CPU-seconds of both, in turn, the median of rounds; the first round warms up."""
    ours(num_rows), by_hand(num_rows)
    pairs = [(timed(lambda: ours(num_rows)), timed(lambda: by_hand(num_rows))) for _ in range(ROUNDS)]
    return {
        "rows": num_rows,
        "epochs": EPOCHS,
        "fit_cpu_s": round(statistics.median(own for own, _ in pairs), 2),
        "by_hand_cpu_s": round(statistics.median(other for _, other in pairs), 2),
        "over": round(statistics.median(own / other for own, other in pairs) - 1, 4),
        "best_later_loss": [min(each.validation_loss for each in ours(num_rows).history), min(by_hand(num_rows))],
    }


class Certain(nn.Module):
    """A wide network in which nothing is random and nothing is counted, so that only rounding tells workers apart."""

    def __init__(self, num_sites: int) -> None:
        super().__init__()
        self.site = nn.Embedding(num_sites, 4)
        self.layers = nn.Sequential(nn.Linear(7, WIDE), nn.SiLU(), nn.Linear(WIDE, WIDE), nn.SiLU(), nn.Linear(WIDE, 1))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """One logit a row."""
        inputs = torch.cat([encoded["numbers"], self.site(encoded["site"])], dim=1)
        logits: torch.Tensor = self.layers(inputs).squeeze(1)
        return logits


def usual(sizes: Mapping[str, int]) -> nn.Module:
    return TabularNetwork(2, [sizes["site"]], width=WIDE)


def certain(sizes: Mapping[str, int]) -> nn.Module:
    return Certain(sizes["site"])


def rank(number: int, *, folder: str, num_ranks: int) -> None:
    """One of the workers that fit networks together; the first one prints time, losses and memory."""
    torch.set_num_threads(1)
    if num_ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=num_ranks)
    training = Training(epochs=3, batch_size=2048, learning_rate=1e-3)
    found: dict[str, object] = {}
    for name, own in {
        "usual": replace(toy, encode=encode, model=usual, training=training),
        "certain": replace(toy, model=certain, training=training),
    }.items():
        ends, cpu_s = [time.monotonic()], time.process_time()
        fitted = fit(own, *parts(30_000), seed=0, on_epoch=lambda _, ends=ends: ends.append(time.monotonic()))
        epochs_s = [later - earlier for earlier, later in pairwise(ends)]
        found[name] = {
            "s_an_epoch": round(min(epochs_s[1:]), 2),
            "cpu_s": round(time.process_time() - cpu_s, 2),
            "later_loss": [each.validation_loss for each in fitted.history],
        }
    peak_mib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if number == 0:
        print(json.dumps({"peak_mib": peak_mib, **found}), flush=True)
    if num_ranks > 1:
        dist.destroy_process_group()


def workers() -> Iterator[dict[str, object]]:
    for num_ranks in NUM_WORKERS:
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.training_whole", "--rank", "{}", folder, str(num_ranks)]
            running = [
                subprocess.Popen(
                    [each.format(number) if each == "{}" else each for each in command],
                    cwd=ROOT,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.PIPE,
                )
                for number in range(num_ranks)
            ]
            said = [each.communicate()[0].decode() for each in running]
        yield {"workers": num_ranks, **json.loads(said[0])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="whole,workers,start")
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rank:
        rank(int(options.rank[0]), folder=options.rank[1], num_ranks=int(options.rank[2]))
        sys.exit()
    chosen = options.only.split(",")
    if "whole" in chosen:
        print(json.dumps(whole(10_000)), flush=True)
    if "workers" in chosen:
        for found in workers():
            print(json.dumps(found), flush=True)
    if "start" in chosen:
        print(json.dumps(start_cost(), indent=1), flush=True)
