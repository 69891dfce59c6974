"""What a training step costs here beside a plain PyTorch loop with the same network, rows and batches, in one process.

    python -m benchmarks.training [--rows 10000] [--epochs 60]

Three loops take their steps in turn, so that what else the machine does falls on all alike; the medians over all steps
count. "compute" is given every batch ready made: what it takes is the network alone. "plain" takes the rows of a batch
and encodes them itself, as a loop written by hand does. "heliostat" is `Learner.run_epoch`, which also hides
categories, names faults and watches the loss.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from heliostat import Batch, Encoded, Training
from heliostat.learn.epochs import Learner, Step
from heliostat.learn.examples import Examples
from heliostat.learn.network import TabularNetwork, stack
from heliostat.learn.objective import objective_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.shares import InMemory
from tests.toy import workload as toy
from tests.toy_rows import labelled_rows

BATCH_ROWS = 512
WIDTH = 128
Ready = tuple[Encoded, torch.Tensor]


def encode(batch: Batch) -> Encoded:
    return stack([batch["load_percent"], batch["temperature_c"]], categories=[batch["site"]])


def model(sizes: Mapping[str, int]) -> TabularNetwork:
    return TabularNetwork(2, [sizes["site"]], width=WIDTH)


def training_rows(num_rows: int) -> Examples:
    rows = labelled_rows("2024-01", rows_per_part=num_rows)
    return Examples.of(rows, Preparation.fit(rows, toy.columns))


class Plain:
    """A loop as one writes it by hand."""

    def __init__(self, examples: Examples, *, seed: int) -> None:
        torch.manual_seed(seed)
        self.examples = examples
        self.module = model(examples.origin.preparation.sizes)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)

    def batches(self, epoch: int) -> Iterator[Ready]:
        order = np.random.default_rng([0, epoch]).permutation(self.examples.num_rows)
        for rows in np.array_split(order, math.ceil(len(order) / BATCH_ROWS)):
            batch = {name: values[rows] for name, values in self.examples.batch.items()}
            yield encode(batch), torch.from_numpy(self.examples.labels[rows].astype(np.float32))

    def step(self, ready: Ready) -> float:
        encoded, labels = ready
        self.optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(self.module(encoded), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def run(self, batches: Iterable[Ready]) -> float:
        """The sum of the losses of an epoch."""
        self.module.train()
        return sum(self.step(ready) for ready in batches)


def timed(work: Callable[[], object]) -> float:
    """CPU-seconds of this process, which does one thing at a time."""
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


class InTurn:
    """Takes a step of the other two loops after each of `Learner.run_epoch`, and times all three."""

    def __init__(self, examples: Examples) -> None:
        self.step_ms: dict[str, list[float]] = {"compute": [], "plain": [], "heliostat": []}
        self._plain, self._compute = Plain(examples, seed=0), Plain(examples, seed=0)

    def begin(self, epoch: int) -> None:
        """An epoch of the learner begins."""
        self._batches, self._ready = self._plain.batches(epoch), iter(list(self._compute.batches(epoch)))
        self._plain.module.train()
        self._compute.module.train()
        self._began_s = time.process_time()

    def on_step(self, _: Step) -> None:
        """The learner's step is over."""
        own_s = time.process_time() - self._began_s
        plain_s = timed(lambda: self._plain.step(next(self._batches)))
        ready = next(self._ready)
        compute_s = timed(lambda: self._compute.step(ready))
        for name, taken_s in (("compute", compute_s), ("plain", plain_s), ("heliostat", own_s)):
            self.step_ms[name].append(taken_s * 1000)
        self._began_s = time.process_time()


def measure(num_rows: int, epochs: int) -> dict[str, object]:
    examples = training_rows(num_rows)
    num_steps = math.ceil(examples.num_rows / BATCH_ROWS)
    own = replace(toy, encode=encode, model=model, training=Training(epochs=epochs, batch_size=BATCH_ROWS))
    torch.manual_seed(0)
    objective = objective_of(own.task, examples.labels)
    turns = InTurn(examples)
    network = model(examples.origin.preparation.sizes)
    learner = Learner(own, network, objective=objective, seed=0, device="cpu", on_step=turns.on_step)
    for epoch in range(epochs):
        turns.begin(epoch)
        learner.run_epoch(epoch, InMemory(examples))
    # The first epoch warms up; the first step of each has the shuffling of the epoch in it, for all three.
    step_ms = {name: values[num_steps:] for name, values in turns.step_ms.items()}
    median_ms = {name: statistics.median(values) for name, values in step_ms.items()}
    mean_ms = {name: statistics.fmean(values) for name, values in step_ms.items()}
    return {
        "rows": examples.num_rows,
        "batch_rows": BATCH_ROWS,
        "steps": len(step_ms["plain"]),
        "parameters": sum(parameter.numel() for parameter in learner.module.parameters()),
        "median_ms": {name: round(value, 3) for name, value in median_ms.items()},
        "mean_ms": {name: round(value, 3) for name, value in mean_ms.items()},
        "over_plain": round(median_ms["heliostat"] / median_ms["plain"] - 1, 4),
        "over_plain_of_means": round(mean_ms["heliostat"] / mean_ms["plain"] - 1, 4),
        "compute_share": round(median_ms["compute"] / median_ms["heliostat"], 4),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(options.rows, options.epochs), indent=1))
