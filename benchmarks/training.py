"""What a training step costs here beside a plain PyTorch loop with the same network, rows and batches, in one process.

    python -m benchmarks.training [--rows 10000] [--repeats 20]

Three loops over the same epoch, in turn, `--repeats` times; the least counts. "compute" is given every batch ready
made: what it takes is the network alone. "plain" takes the rows of a batch and encodes them itself, as a loop written
by hand does. "heliostat" is `Learner.run_epoch`, which also hides categories, names faults and watches the loss.
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
from heliostat.learn.epochs import Learner
from heliostat.learn.examples import Examples
from heliostat.learn.network import TabularNetwork, stack
from heliostat.learn.objective import objective_of
from heliostat.learn.prepare import Preparation
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

    def run(self, batches: Iterable[Ready]) -> int:
        self.module.train()
        total, num_steps = 0.0, 0
        for encoded, labels in batches:
            self.optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(self.module(encoded), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
            num_steps += 1
        return num_steps


def timed(work: Callable[[], object]) -> float:
    """CPU-seconds of this process, which does one thing at a time."""
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def measure(num_rows: int, repeats: int) -> dict[str, object]:

    examples = training_rows(num_rows)
    num_steps = math.ceil(examples.num_rows / BATCH_ROWS)
    own = replace(toy, encode=encode, model=model, training=Training(epochs=repeats + 1, batch_size=BATCH_ROWS))
    torch.manual_seed(0)
    objective = objective_of(own.task, examples.labels)
    learner = Learner(own, model(examples.origin.preparation.sizes), objective=objective, seed=0, device="cpu")
    plain, compute = Plain(examples, seed=0), Plain(examples, seed=0)
    seconds: dict[str, list[float]] = {"compute": [], "plain": [], "heliostat": []}
    for epoch in range(repeats + 1):
        ready = list(compute.batches(epoch))
        found = {
            "compute": timed(lambda ready=ready: compute.run(ready)),
            "plain": timed(lambda epoch=epoch: plain.run(plain.batches(epoch))),
            "heliostat": timed(lambda epoch=epoch: learner.run_epoch(epoch, examples)),
        }
        if epoch:  # the first one warms up
            for name, value in found.items():
                seconds[name].append(value / num_steps * 1000)
    # What else the machine does only adds: the least of many rounds is nearest to what the code takes.
    step_ms = {name: min(values) for name, values in seconds.items()}
    return {
        "rows": examples.num_rows,
        "batch_rows": BATCH_ROWS,
        "parameters": sum(parameter.numel() for parameter in learner.module.parameters()),
        "cpu_ms_per_step": {name: round(value, 3) for name, value in step_ms.items()},
        "median_ms": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "over_plain": round(step_ms["heliostat"] / step_ms["plain"] - 1, 4),
        "compute_share": round(step_ms["compute"] / step_ms["heliostat"], 4),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(options.rows, options.repeats), indent=1))
