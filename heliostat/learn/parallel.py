"""Several workers that fit one network: each takes its share of every batch, and the gradients are averaged.

Without an initialised process group (no Ray Train, or one worker) everything here does nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from heliostat.errors import HeliostatError

Found = TypeVar("Found")


def num_ranks() -> int:
    """How many workers fit together; 1 when nobody else does."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_rank() -> int:
    """The number of this worker, from 0."""
    return dist.get_rank() if num_ranks() > 1 else 0


def averaging(module: nn.Module, *, has_unused: bool = False) -> nn.Module:
    """The module itself, or a wrapper of it whose backward pass averages the gradients of all workers.

    It looks in each step for weights without a gradient where the network `has_unused` ones; else all must have one.
    """
    if num_ranks() == 1:
        return module
    # Running statistics are made equal where a state is kept (`share_buffers`): in each step it would be the first's.
    return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=has_unused)


def sum_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all workers, in place."""
    if num_ranks() > 1:
        dist.all_reduce(value)
    return value


@contextmanager
def added_up(module: nn.Module, *, is_last: bool) -> Iterator[None]:
    """Gradients of a step's pieces are added up; only the last backward pass averages them over all workers."""
    if isinstance(module, DistributedDataParallel) and not is_last:
        with module.no_sync():
            yield
        return
    yield


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all workers, in place: the same number on each."""
    return sum_over_ranks(value).div_(num_ranks())


def average_gradients(weights: Sequence[nn.Parameter]) -> None:
    """Give every worker the mean of all workers' gradients of these single numbers; where one has none it is 0."""
    if num_ranks() == 1 or not weights:
        return
    own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    means = mean_over_ranks(torch.stack([gradient.double() for gradient in own]))
    for weight, mean in zip(weights, means, strict=True):
        weight.grad = mean.to(weight.dtype)


def share_buffers(module: nn.Module, *, num_rows: int) -> None:
    """Give every worker the mean of all workers' running statistics, each weighed by the rows that it has seen.

    `num_rows` are those since this was last done. Whole numbers, as of batches, are the first worker's; what is the
    same on all stays as it is, to the last bit.
    """
    if num_ranks() == 1:
        return
    share = num_rows / max(total(num_rows), 1.0)
    for buffer in module.buffers():
        first = buffer.clone()
        dist.broadcast(first, src=0)
        if buffer.is_floating_point():
            first += sum_over_ranks(torch.where(buffer == first, 0, (buffer - first) * share))
        buffer.copy_(first)


def first_says(value: bool) -> bool:
    """What the first worker says, so that all do the same where their clocks differ."""
    if num_ranks() == 1:
        return value
    said = torch.tensor([int(value)], device=_device())
    dist.broadcast(said, src=0)
    return bool(said.item())


def first_number(value: float) -> float:
    """The first worker's, so that all decide alike by what each found a little differently."""
    if num_ranks() == 1:
        return value
    said = torch.tensor([value], dtype=torch.float64, device=_device())
    dist.broadcast(said, src=0)
    return float(said.item())


def first_gives(work: Callable[[], Found]) -> Found:
    """What the first worker's `work` gives, on all; where it raises an error of ours or has no memory, all raise that.

    The others wait. What is given goes through pickle.
    """
    if num_ranks() == 1:
        return work()
    told: list[object] = [None, None]
    if own_rank() == 0:
        try:
            told[0] = work()
        except (HeliostatError, MemoryError) as error:
            told[1] = error
    dist.broadcast_object_list(told, src=0)
    if isinstance(told[1], Exception):
        raise told[1]
    return cast(Found, told[0])


def first_found(own: Found | None) -> Found | None:
    """What the first of all workers found that found something, on all. What is told goes through pickle."""
    if num_ranks() == 1:
        return own
    told: list[Found | None] = [None] * num_ranks()
    dist.all_gather_object(told, own)
    return next((each for each in told if each is not None), None)


def total(value: float) -> float:
    """The sum of a number over all workers."""
    if num_ranks() == 1:
        return value
    return float(sum_over_ranks(torch.tensor(value, dtype=torch.float64, device=_device())))


def _device() -> str:
    """Where a tensor must lie that workers tell each other."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def is_lost_peer(error: BaseException) -> bool:
    """Whether another worker was lost, or ended with an error of its own: no fault of whoever was told so."""
    if num_ranks() == 1 or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "onnection" in str(error)
