"""One epoch at a time: shuffled batches, a share of them for each worker, one step of the optimizer per batch."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.errors import TrainingError
from heliostat.learn import not_finite, parallel
from heliostat.learn.examples import Examples
from heliostat.learn.faults import NEXT, StepFaultError, defined_at, definition, guarded
from heliostat.learn.objective import Objective
from heliostat.learn.prepare import UNKNOWN_CODE, Prepared
from heliostat.workload import Encoded, Workload

# So many values of every category are hidden in every batch, so that "unknown" is a trained code even where training
# saw no rare level.
HIDDEN_SHARE = 0.03
WARM_UP_SHARE = 0.05
VALIDATION_CHUNK_ROWS = 8192
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Share:
    """One worker's rows of one batch; `weight` makes the mean over workers the mean over the batch."""

    examples: Examples
    weight: float


class Learner:
    """A network and its optimizer; every number that decides how it learns follows from the seed and the epoch."""

    def __init__(self, workload: Workload, module: nn.Module, *, objective: Objective, seed: int, device: str) -> None:
        self.workload = workload
        self.module = module
        self.seed = seed
        self.device = device
        self.outputs = objective.outputs
        self.loss = objective.loss(workload.loss)
        self._averaging = parallel.averaging(module)
        settings = workload.training
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def run_epoch(self, epoch: int, examples: Examples) -> float:
        """One pass over all rows; the mean loss of the batches, each before its step."""
        torch.manual_seed(_derived_seed(self.seed, epoch, parallel.own_rank()))
        self.module.train()
        total = torch.zeros((), device=self.device)
        num_batches = math.ceil(examples.num_rows / self.workload.training.batch_size)
        for number, share in enumerate(self._shares(epoch, examples, num_batches=num_batches)):
            self._set_learning_rate((epoch + number / num_batches) / self.workload.training.epochs)
            total += self._step(share, epoch=epoch)
        parallel.share_buffers(self.module)
        mean = parallel.sum_over_ranks(total) / (num_batches * parallel.num_ranks())
        return float(mean)

    def _shares(self, epoch: int, examples: Examples, *, num_batches: int) -> Iterator[Share]:
        random = np.random.default_rng([self.seed, epoch])
        rank, num_ranks = parallel.own_rank(), parallel.num_ranks()
        # Batches of nearly equal size: a small last one would have a noisier gradient than the others.
        for rows in np.array_split(random.permutation(examples.num_rows), num_batches):
            hidden = random.random((len(rows), len(self.workload.columns))) < HIDDEN_SHARE
            own = examples.take(rows[rank::num_ranks])
            _hide(own.batch, hidden[rank::num_ranks])
            yield Share(examples=own, weight=own.num_rows * num_ranks / len(rows))

    def _step(self, share: Share, *, epoch: int) -> torch.Tensor:
        labels = torch.from_numpy(share.examples.labels.astype(np.float32)).to(self.device)
        encoded = self._encoded(share.examples)
        self.optimizer.zero_grad()
        logits = self._told(lambda own: self._forward(self._averaging, encoded, own), share.examples)
        loss = guarded("loss", self.workload, lambda _: self.loss(logits, labels), share.examples) * share.weight
        if self.device == "cpu" and not math.isfinite(
            loss.detach()
        ):  # a device would have to be waited for in every step
            raise StepFaultError(self.not_finite(float(loss.detach()), share.examples, epoch=epoch))
        self._told(lambda _: loss.backward(), share.examples)  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _encoded(self, examples: Examples) -> Mapping[str, torch.Tensor]:
        encoded = guarded("encode", self.workload, lambda own: self.workload.encode(own.batch), examples)
        _check_encoded(self.workload, encoded, num_rows=examples.num_rows)
        return on_device(encoded, self.device)

    def _told(self, work: Callable[[Examples], Answer], examples: Examples) -> Answer:
        """What the network does; when it fails, the first row that it cannot answer is named."""
        return guarded("the network", self.workload, work, examples, again=self._answered)

    def _answered(self, examples: Examples) -> torch.Tensor:
        self.module.eval()
        with torch.inference_mode():
            return self._forward(self.module, self._encoded(examples), examples)

    def not_finite(self, loss: float, examples: Examples, *, epoch: int) -> str:
        """One sentence on why the loss of these examples is not a finite number; the fit is over."""
        why = not_finite.reason(self.workload, self.module, examples, loss=self.loss)
        return f"In epoch {epoch + 1} the loss became {loss}: {why}"

    def _set_learning_rate(self, progress: float) -> None:
        """A short rise, then half a cosine down; it follows from progress alone, so a resumed fit needs no schedule."""
        rise = min(1.0, progress / WARM_UP_SHARE + 0.01)
        rate = self.workload.training.learning_rate * rise * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def logits(self, examples: Examples) -> torch.Tensor:
        """The outputs of each row without learning from it."""
        self.module.eval()
        chunks = np.array_split(np.arange(examples.num_rows), math.ceil(examples.num_rows / VALIDATION_CHUNK_ROWS))
        with torch.inference_mode():
            parts = [self._chunk_logits(examples.take(rows)) for rows in chunks]
        return torch.cat(parts)

    def _chunk_logits(self, examples: Examples) -> torch.Tensor:
        encoded = self._encoded(examples)
        return self._told(lambda own: self._forward(self.module, encoded, own), examples).cpu()

    def _forward(self, module: nn.Module, encoded: Encoded, examples: Examples) -> torch.Tensor:
        return forward(module, encoded, shape=(examples.num_rows, *self.outputs))

    def mean_loss(self, examples: Examples) -> float:
        """The workload's loss over these rows without learning from them."""
        labels = torch.from_numpy(examples.labels.astype(np.float32))
        logits = self.logits(examples)
        return float(guarded("loss", self.workload, lambda _: self.loss(logits, labels), examples))


def forward(module: nn.Module, encoded: Encoded, *, shape: tuple[int, ...]) -> torch.Tensor:
    """The outputs of all rows; TrainingError when the network gives another shape."""
    logits: torch.Tensor = module(encoded)
    if logits.shape != shape:
        own = getattr(module, "module", module)  # below the wrapper that averages gradients
        found = defined_at(type(own).forward) if isinstance(own, nn.Module) else None
        raise TrainingError(
            f"The network must give {_meaning(shape)}, shape {shape}; it gave {tuple(logits.shape)}"
            f"{'' if found is None else f' ({found})'}. {_remedy(shape)}"
        )
    return logits


def _meaning(shape: tuple[int, ...]) -> str:
    return "one logit a row, or quantity" if len(shape) == 1 else f"one logit a row for each of {shape[1]} classes"


def _remedy(shape: tuple[int, ...]) -> str:
    return "End its forward with .squeeze(1)." if len(shape) == 1 else f"Let its last layer have {shape[1]} outputs."


def _check_encoded(workload: Workload, encoded: Encoded, *, num_rows: int) -> None:
    """Every tensor has a row for each row; else the network would fail further on, in words about matrices."""
    for name, tensor in encoded.items():
        if len(tensor) != num_rows:
            found = definition(workload, "encode")
            raise StepFaultError(
                f"encode gives {name!r} with {len(tensor)} rows for {num_rows}"
                f"{'' if found is None else f' ({found})'}; give one for each. {NEXT}"
            )


def on_device(encoded: Encoded, device: str) -> Mapping[str, torch.Tensor]:
    """The same tensors on the device that the network is on."""
    return {name: tensor.to(device) for name, tensor in encoded.items()}


def _hide(batch: Prepared, hidden: NDArray[np.bool_]) -> None:
    for number, values in enumerate(batch.values()):
        if np.issubdtype(values.dtype, np.integer):
            values[hidden[:, number]] = UNKNOWN_CODE


def _derived_seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
