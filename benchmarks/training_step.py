"""Where a training step spends its time: the parts of ours and of a plain loop's, in turn in one process.

    python -m benchmarks.training_step [--rows 10000] [--epochs 30]

Medians in microseconds by the clock, each part where it stands: right after two milliseconds of other work a call finds
nothing in the processor's caches and takes several times what it takes when it is repeated alone. Watching adds about a
microsecond to each part.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from benchmarks.training import BATCH_ROWS, InTurn, Plain, encode, model, toy, training_rows
from heliostat import Training
from heliostat.learn.epochs import Learner
from heliostat.learn.objective import objective_of
from heliostat.learn.shares import InMemory

OWN = ("_set_learning_rate", "_refuse_not_finite")
ASKED = ("forward", "loss")
OPTIMIZER = ("zero_grad", "step")


class Watch:
    """How long each named part took, every time."""

    def __init__(self) -> None:
        self.taken_us: dict[str, list[float]] = {}

    def method(self, owner: Any, name: str, *, told_as: str) -> None:
        """Time this method of an object from now on."""
        setattr(owner, name, self._timed(getattr(owner, name), told_as))

    def each(self, values: Iterator[Any], *, told_as: str) -> Iterator[Any]:
        """The same values; how long each took to come."""
        following = self._timed(lambda: next(values, None), told_as)
        while (value := following()) is not None:
            yield value

    def _timed(self, work: Callable[..., Any], told_as: str) -> Callable[..., Any]:
        spans = self.taken_us.setdefault(told_as, [])

        def timed(*values: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            found = work(*values, **options)
            spans.append((time.perf_counter() - began_s) * 1e6)
            return found

        return timed


class WatchedRows(InMemory):
    """Rows in memory; how long each batch took to come."""

    def __init__(self, examples: Any, watch: Watch) -> None:
        super().__init__(examples)
        object.__setattr__(self, "watch", watch)

    def shares(self, **options: Any) -> Iterator[Any]:
        return self.watch.each(super().shares(**options), told_as="heliostat: rows of a batch")


class WatchedPlain(Plain):
    """The plain loop; how long each batch took to come, encoded."""

    watch: Watch

    def batches(self, epoch: int) -> Iterator[Any]:
        return self.watch.each(super().batches(epoch), told_as="plain: rows of a batch, encoded, and labels")


def measure(num_rows: int, epochs: int) -> dict[str, float]:
    examples, watch = training_rows(num_rows), Watch()
    own = replace(toy, encode=encode, model=model, training=Training(epochs=epochs, batch_size=BATCH_ROWS))
    torch.manual_seed(0)
    turns = InTurn(examples)
    plain = turns._plain = WatchedPlain(examples, seed=0)
    plain.watch = watch
    learner = Learner(
        own,
        model(examples.origin.preparation.sizes),
        objective=objective_of(own.task, examples.labels),
        seed=0,
        device="cpu",
        on_step=turns.on_step,
    )
    for name in OWN:
        watch.method(learner, name, told_as=f"heliostat: {name.strip('_').replace('_', ' ')}")
    for name in ASKED:
        watch.method(learner.asked, name, told_as=f"heliostat: {name}")
    watch.method(learner.asked.encoder, "ready", told_as="heliostat: rows encoded, and labels")
    watch.method(plain.module, "forward", told_as="plain: forward")
    for loop, owner in (("heliostat", learner), ("plain", plain)):
        for name in OPTIMIZER:
            watch.method(owner.optimizer, name, told_as=f"{loop}: optimizer.{name}")
    for epoch in range(epochs):
        turns.begin(epoch)
        learner.run_epoch(epoch, WatchedRows(examples, watch))
    num_warm = math.ceil(examples.num_rows / BATCH_ROWS)
    return {name: round(statistics.median(spans[num_warm:]), 1) for name, spans in sorted(watch.taken_us.items())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(options.rows, options.epochs), indent=1))
