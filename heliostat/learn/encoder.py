"""What `encode` gives for the rows of training: several batches at once, then a batch of it for each step."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from heliostat.learn.examples import Examples
from heliostat.learn.faults import NEXT, StepFaultError, definition, guarded
from heliostat.learn.shares import Share, rows_at_once
from heliostat.workload import Encoded, Workload

Targets = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Ready(NamedTuple):
    """Rows as network and loss take them, where the network is."""

    encoded: Encoded
    targets: torch.Tensor

    def part(self, start: int, end: int) -> "Ready":
        """The rows from `start` up to `end`, not copied."""
        return Ready({name: tensor[start:end] for name, tensor in self.encoded.items()}, self.targets[start:end])

    @property
    def num_bytes_a_row(self) -> float:
        """How much memory one row takes."""
        return sum(tensor.nbytes for tensor in self.encoded.values()) / max(len(self.targets), 1)


class Encoder:
    """Encodes rows of training ahead, as far as little memory goes."""

    def __init__(
        self, workload: Workload, *, targets: Callable[[NDArray[np.float64]], NDArray[np.float64]], device: str
    ) -> None:
        self._workload = workload
        self._targets_of = targets
        self._device = device
        self.begin()

    def begin(self) -> None:
        """What is random begins anew here, so nothing that was encoded before counts: a fit may go on from here."""
        self._block: Examples | None = None
        self._first = self._end = 0
        self._num_bytes_a_row: float | None = None

    def ready(self, share: Share, *, num_left: int) -> Ready:
        """The rows of this batch; of up to `num_left` batches, this one among them, more may be encoded with it."""
        if share.block is not self._block or not self._first <= share.start <= share.end <= self._end:
            self._encode_from(share, num_left=num_left)
        return self._ready.part(share.start - self._first, share.end - self._first)

    def _encode_from(self, share: Share, *, num_left: int) -> None:
        end = share.end
        if self._num_bytes_a_row is not None:  # else the first batch alone, to see how much encode makes of a row
            num_batches = max(1, min(num_left, rows_at_once(self._num_bytes_a_row) // max(share.num_rows, 1)))
            # No row twice: `encode` may write to what it is given.
            end = share.ends[:num_batches][-1]
        self._block, self._first, self._end = share.block, share.start, end
        examples = share.block.part(self._first, self._end)
        self._ready = self.alone(examples)
        self._num_bytes_a_row = max(self._ready.num_bytes_a_row, examples.num_bytes_a_row)

    def alone(self, examples: Examples) -> Ready:
        """These rows and no others."""
        return Ready(self.told(examples), self.targets(examples))

    def told(self, examples: Examples) -> Encoded:
        """What `encode` gives; StepFaultError names file, line and row where it fails."""
        return guarded("encode", self._workload, self.encoded, examples)

    def encoded(self, examples: Examples) -> Encoded:
        """What `encode` gives, or raises."""
        encoded = self._workload.encode(examples.batch)
        _check_encoded(self._workload, encoded, num_rows=examples.num_rows)
        return on_device(encoded, self._device)

    def targets(self, examples: Examples) -> torch.Tensor:
        """The labels as the loss takes them."""
        found = torch.from_numpy(self._targets_of(examples.labels).astype(np.float32))
        return found if self._device == "cpu" else found.to(self._device)


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
    if device == "cpu":  # where encode makes them; even to be told to stay takes each a call
        return encoded
    return {name: tensor.to(device) for name, tensor in encoded.items()}
