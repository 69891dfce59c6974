"""One epoch at a time: shuffled batches, a share of them for each worker, one step of the optimizer per batch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heliostat.errors import TrainingError
from heliostat.learn import parallel
from heliostat.learn.prepare import UNKNOWN_CODE, Preparation, Prepared
from heliostat.learn.rows import LABEL
from heliostat.workload import Encoded, Workload

# So many values of every category are hidden in every batch, so that "unknown" is a trained code even where training
# saw no rare level.
HIDDEN_SHARE = 0.03
WARM_UP_SHARE = 0.05
VALIDATION_CHUNK_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Prepared rows with their labels."""

    batch: Prepared
    labels: NDArray[np.float64]

    @classmethod
    def of(cls, rows: pa.Table, preparation: Preparation) -> "Examples":
        """Rows as `rows.ordered` gives them, prepared."""
        return cls(batch=preparation.prepare(rows), labels=rows[LABEL].to_numpy())

    @property
    def num_rows(self) -> int:
        """How many examples there are."""
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """These rows alone, as copies."""
        batch = {name: values[rows] for name, values in self.batch.items()}
        return Examples(batch=batch, labels=self.labels[rows])


@dataclass(frozen=True, kw_only=True)
class Share:
    """One worker's rows of one batch; `weight` makes the mean over workers the mean over the batch."""

    examples: Examples
    weight: float


class Learner:
    """A network and its optimizer; every number that decides how it learns follows from the seed and the epoch."""

    def __init__(self, workload: Workload, module: nn.Module, *, seed: int, device: str) -> None:
        self.workload = workload
        self.module = module
        self.seed = seed
        self.device = device
        self.loss = workload.loss or binary_cross_entropy_with_logits
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
            total += self._step(share)
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

    def _step(self, share: Share) -> torch.Tensor:
        labels = torch.from_numpy(share.examples.labels.astype(np.float32)).to(self.device)
        encoded = on_device(self.workload.encode(share.examples.batch), self.device)
        self.optimizer.zero_grad()
        loss = self.loss(forward(self._averaging, encoded, num_rows=len(labels)), labels) * share.weight
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _set_learning_rate(self, progress: float) -> None:
        """A short rise, then half a cosine down; it follows from progress alone, so a resumed fit needs no schedule."""
        rise = min(1.0, progress / WARM_UP_SHARE + 0.01)
        rate = self.workload.training.learning_rate * rise * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def logits(self, examples: Examples) -> torch.Tensor:
        """The logit of each row without learning from it."""
        self.module.eval()
        chunks = np.array_split(np.arange(examples.num_rows), math.ceil(examples.num_rows / VALIDATION_CHUNK_ROWS))
        with torch.inference_mode():
            parts = [self._chunk_logits(examples.take(rows)) for rows in chunks]
        return torch.cat(parts)

    def _chunk_logits(self, examples: Examples) -> torch.Tensor:
        encoded = on_device(self.workload.encode(examples.batch), self.device)
        return forward(self.module, encoded, num_rows=examples.num_rows).cpu()

    def mean_loss(self, examples: Examples) -> float:
        """The workload's loss over these rows without learning from them."""
        labels = torch.from_numpy(examples.labels.astype(np.float32))
        return float(self.loss(self.logits(examples), labels))


def forward(module: nn.Module, encoded: Encoded, *, num_rows: int) -> torch.Tensor:
    """One logit a row, shape (num_rows,); TrainingError when the network gives another shape."""
    logits: torch.Tensor = module(encoded)
    if logits.shape != (num_rows,):
        raise TrainingError(
            f"The network must give one logit a row, shape ({num_rows},); it gave {tuple(logits.shape)}. "
            "End its forward with .squeeze(1)."
        )
    return logits


def on_device(encoded: Encoded, device: str) -> Mapping[str, torch.Tensor]:
    """The same tensors on the device that the network is on."""
    return {name: tensor.to(device) for name, tensor in encoded.items()}


def _hide(batch: Prepared, hidden: NDArray[np.bool_]) -> None:
    for number, values in enumerate(batch.values()):
        if np.issubdtype(values.dtype, np.integer):
            values[hidden[:, number]] = UNKNOWN_CODE


def _derived_seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
