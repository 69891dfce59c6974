"""A network that is asked without learning: for later rows, for a try, and for the row that a fault came from."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.learn import not_finite, parallel
from heliostat.learn.encoder import Encoder
from heliostat.learn.examples import Examples
from heliostat.learn.faults import guarded
from heliostat.learn.forward import forward
from heliostat.learn.new_network import new_network
from heliostat.learn.objective import Objective
from heliostat.learn.portions import in_portions, most_rows, piece_rows
from heliostat.learn.randomness import seeded
from heliostat.learn.shares import Feed
from heliostat.workload import Encoded, Workload

Answer = TypeVar("Answer")


class Asked:
    """A network under training, or in its place a fresh one where this worker asks alone."""

    def __init__(self, workload: Workload, module: nn.Module, *, objective: Objective, seed: int, device: str) -> None:
        self.workload, self.module, self.seed, self.device = workload, module, seed, device
        self.is_sharded = workload.training.shard and parallel.num_ranks() > 1
        self.loss, self._targets, self._outputs = objective.loss(workload.loss), objective.targets, objective.outputs
        self.encoder = Encoder(workload, targets=objective.targets, device=device)
        self._alone: nn.Module | None = None

    def forward(self, module: nn.Module, encoded: Encoded, *, num_rows: int) -> torch.Tensor:
        """What this form of the network gives, in the shape that the label asks for."""
        return forward(module, encoded, shape=(num_rows, *self._outputs))

    def precision(self) -> AbstractContextManager[object]:
        """Half width where it is asked for."""
        if not self.workload.training.bfloat16:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def logits(self, examples: Examples) -> torch.Tensor:
        """The outputs of each row."""
        self.module.eval()
        training = self.workload.training
        with torch.inference_mode():
            portions = in_portions(
                lambda start, end: self._portion_logits(examples.take(np.arange(start, end))),
                num_rows=examples.num_rows,
                first_rows=piece_rows(training),
                most_rows=most_rows(training),
                may_halve=not self.is_sharded,
            )
        return torch.cat(portions)

    def _portion_logits(self, examples: Examples) -> tuple[torch.Tensor, Encoded]:
        encoded = self.encoder.told(examples)
        logits = self._told(lambda own: self.forward(self.module, encoded, num_rows=own.num_rows), examples)
        return logits.cpu(), encoded

    def mean_loss(self, examples: Examples) -> float:
        """The workload's loss over these rows."""
        logits, targets = self.logits(examples), self.encoder.targets(examples).cpu()
        return float(guarded("loss", self.workload, lambda _: self.loss(logits, targets), examples))

    def tried(self, seen: Examples, look: Callable[..., Answer]) -> Answer:
        """What a fresh network lets see, which is given shares of batches."""
        fresh = self._fresh(seen).to(self.device)

        def answer(examples: Examples) -> torch.Tensor:
            encoded = self.encoder.told(examples)
            return self._told(lambda own: self.forward(fresh, encoded, num_rows=own.num_rows), examples)

        with seeded(self.seed, device=self.device), self.precision():
            num_rows = self.workload.training.batch_size // parallel.num_ranks()
            return look(fresh, seen, num_rows=num_rows, answer=answer)

    def _told(self, work: Callable[[Examples], Answer], examples: Examples) -> Answer:
        """What the network does; when it fails, the first row that it cannot answer is named."""
        return guarded("the network", self.workload, work, examples, again=self.answered)

    def answered(self, examples: Examples) -> torch.Tensor:
        """What this worker alone gets for the rows, to see whether they fail."""
        # One that is laid out answers only where all workers ask: they would wait for this one's gradients instead. And
        # a GPU that met a code out of range answers nothing any more.
        if (self.is_sharded or self.device != "cpu") and self._alone is None:
            self._alone = self._fresh(examples)
        module = self.module if self._alone is None else self._alone
        module.eval()
        with torch.inference_mode():
            return self.forward(module, self.workload.encode(examples.batch), num_rows=examples.num_rows)

    def _fresh(self, examples: Examples) -> nn.Module:
        """A network on the CPU that has learned nothing, and that this worker may ask alone."""
        with seeded(self.seed, device="cpu"):
            return new_network(self.workload, examples.origin.preparation.sizes)

    def not_finite(self, loss: float, examples: Examples, *, epoch: int, among: Feed | None = None) -> str:
        """One sentence on why the loss of these examples is not a finite number; the fit is over.

        `among` has all rows where the examples are only some of them.
        """
        parts = iter([examples]) if among is None else among.parts()
        return f"In epoch {epoch + 1} the loss became {loss}: {self._why(examples, parts)}"

    def spoilt(self, name: str, value: float, examples: Examples, *, epoch: int) -> str:
        """One sentence on why weights are not finite numbers after a loss that was; the fit is over."""
        return f"In epoch {epoch + 1} a weight of {name!r} became {value}: {self._why(examples, iter([examples]))}"

    def _why(self, examples: Examples, parts: Iterator[Examples]) -> str:
        def loss(outputs: torch.Tensor, labels: NDArray[np.float64]) -> torch.Tensor:
            return self.loss(outputs, torch.from_numpy(self._targets(labels).astype(np.float32)))

        module = None if self.is_sharded else self.module
        return not_finite.reason(self.workload, module, examples, parts=parts, loss=loss)
