"""Why a loss is not a finite number: the row that makes it so, or weights that were driven too far."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.learn.examples import Examples
from heliostat.learn.faults import RAISED, definition
from heliostat.learn.portions import most_rows
from heliostat.learn.row_checks import LARGEST
from heliostat.workload import Encoded, Workload

Loss = Callable[[torch.Tensor, NDArray[np.float64]], torch.Tensor]


def reason(
    workload: Workload, module: nn.Module | None, examples: Examples, *, parts: Iterator[Examples], loss: Loss
) -> str:
    """What is to blame, and what to do next; examples as they were learned from, the network on any device.

    `parts` are all rows that it learned from, of which the examples may be only some. Rows are put to a fresh network
    too: in one that learned from a row with nan, every row gives nan. None stands for a network that is laid out over
    workers, who would all have to ask it: then the fresh one answers in its place.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        fresh = workload.model(examples.origin.preparation.sizes).eval()
        current = fresh if module is None else module.to("cpu").eval()
        for chunk in _chunks(parts, size=most_rows(workload.training)):
            encoded = workload.encode(chunk.batch)
            found = _bad_row(workload, chunk, encoded, fresh(encoded)) or _bad_loss(
                workload, chunk, current(encoded), loss
            )
            if found is not None:
                return found
    return _steep(workload, examples, loss) or _driven_too_far(workload, examples)


def _chunks(parts: Iterator[Examples], *, size: int) -> Iterator[Examples]:
    for part in parts:
        for start in range(0, part.num_rows, size):
            yield part.take(np.arange(start, min(start + size, part.num_rows)))


def _bad_row(workload: Workload, chunk: Examples, encoded: Encoded, logits: torch.Tensor) -> str | None:
    bad = torch.nonzero(~torch.isfinite(logits))
    if not len(bad):
        return None
    row = int(bad[0, 0])
    beyond = _beyond(chunk, row)
    if beyond is not None:
        return f"{beyond}{_at(workload, 'encode')}; scale it there or where the rows come from, or bound the column."
    odd = {
        name: tensor[row][~torch.isfinite(tensor[row])].flatten()[0].item()
        for name, tensor in encoded.items()
        if tensor.is_floating_point() and not torch.isfinite(tensor[row]).all()
    }
    if not odd:
        return (
            f"the network answers {chunk.row_name(row)} with {logits[row].tolist()} though encode gives finite numbers"
            f"{_at(workload, 'model')}; bound what its forward computes."
        )
    told = " and ".join(f"{value} in {name!r}" for name, value in odd.items())
    return (
        f"encode gives {told} for {chunk.row_name(row)}, the first of {len(bad):,} such rows among "
        f"{chunk.num_rows:,}{_at(workload, 'encode')}{_notes(chunk, row)}; "
        "make it give finite numbers, also for missing values and constant columns."
    )


def _beyond(chunk: Examples, row: int) -> str | None:
    """The first number of this row that is finite, but not in the width that networks compute in."""
    for name, values in chunk.batch.items():
        if values.dtype == np.float64 and LARGEST < abs(float(values[row])) < np.inf:
            return f"{name} of {chunk.row_name(row)} is {values[row]:g}, and networks see numbers up to {LARGEST:.2g}"
    return None


def _notes(chunk: Examples, row: int) -> str:
    """What may be behind it: inputs that are missing in the row, and columns that say nothing in all rows."""
    notes = dict(chunk.origin.notes)
    for name, values in chunk.batch.items():
        if name not in notes and np.issubdtype(values.dtype, np.floating) and np.isnan(values[row]).any():
            notes[name] = f"{name} is missing there"
    return "".join(f", {note}" for note in notes.values())


def _bad_loss(workload: Workload, chunk: Examples, logits: torch.Tensor, loss: Loss) -> str | None:
    if not torch.isfinite(logits).all():
        return None
    labels = chunk.labels
    with suppress(*RAISED):  # a loss that takes no single row tells nothing about one
        for row in range(chunk.num_rows):
            value = loss(logits[row : row + 1], labels[row : row + 1])
            if not torch.isfinite(value).all():
                return (
                    f"the loss is {value.item()} for {chunk.row_name(row)} with label {labels[row]:g} and "
                    f"logit {_shown(logits[row])}{_at(workload, 'loss')}; bound it there."
                )
    return None


def _steep(workload: Workload, examples: Examples, loss: Loss) -> str | None:
    """A gradient that has no finite value where the loss has one, as that of a root at 0."""
    with torch.random.fork_rng(devices=[]), suppress(*RAISED):  # what fails here alone is not to blame
        fresh = workload.model(examples.origin.preparation.sizes).train()
        loss(fresh(workload.encode(examples.batch)), examples.labels).backward()  # type: ignore[no-untyped-call]
        for name, weight in fresh.named_parameters():
            if weight.grad is not None and not torch.isfinite(weight.grad).all():
                return (
                    f"for a fresh network the loss is finite, but the gradient of its {name!r} is not"
                    f"{_at(workload, 'model')}; look for a root, a logarithm or a division at 0 in its forward or in "
                    "the loss, and keep it away from there."
                )
    return None


def _driven_too_far(workload: Workload, examples: Examples) -> str:
    encoded = workload.encode(examples.batch)
    peaks = [
        (float(tensor.abs().flatten(1).amax(1).nan_to_num().max()), name, tensor)
        for name, tensor in encoded.items()
        if tensor.is_floating_point() and tensor.numel() and tensor.dim() > 1
    ]
    largest = ""
    if peaks:
        peak, name, tensor = max(peaks, key=lambda each: each[0])
        row = int(tensor.abs().flatten(1).amax(1).nan_to_num().argmax())
        largest = (
            f", or scale what encode gives: the largest here is {peak:.3g} in {name!r} for "
            f"{examples.row_name(row)}{_at(workload, 'encode')}"
        )
    return (
        "every row is finite for a fresh network, so the gradients exploded; lower the learning rate "
        f"(now {workload.training.learning_rate:g}){largest}."
    )


def _shown(output: torch.Tensor) -> str:
    return f"{output.item():g}" if output.dim() == 0 else str([round(each, 4) for each in output.tolist()])


def _at(workload: Workload, name: str) -> str:
    found = definition(workload, name)
    return "" if found is None else f" ({found})"
