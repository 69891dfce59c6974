"""A network laid out over several workers (FSDP2): each holds a part of every weight and gathers the rest when needed.

Imported only where that is asked for: what it needs takes a second to import.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from heliostat.errors import WorkloadError
from heliostat.learn.separate_parts import single_numbers


def lay_out(module: nn.Module, *, parts: Sequence[str] = ()) -> None:
    """The network's weights are laid out over all workers; every worker must have the same ones before.

    Each of the `parts` (names of submodules) is whole in a worker's memory only while it is called; what else there is
    is so while the network is. Single numbers stay whole on every worker, and are left to the caller to be averaged.
    """
    numbers = set(single_numbers(module))
    for name in parts:
        _lay_out(module.get_submodule(name), f"The part {name!r} of the network", numbers=numbers)
    _lay_out(module, "The network", numbers=numbers)
    assert isinstance(module, FSDPModule)
    # A weight may have no gradient on one worker alone, whose rows took another branch; the others would wait for it.
    module.set_reduce_scatter_unused_params(reduce_scatter_unused_params=True)


def _lay_out(module: nn.Module, name: str, *, numbers: set[nn.Parameter]) -> None:
    refused = f"{name}, {type(module).__name__}, cannot be laid out over workers"
    instead = "Change it there, or leave Training(shard=True) out."
    own = [weight for weight in module.parameters() if weight not in numbers and not isinstance(weight, DTensor)]
    if len(widths := {str(weight.dtype) for weight in own}) > 1:  # else said in the first step, in other words
        raise WorkloadError(f"{refused}: it has weights of {' and '.join(sorted(widths))}. {instead}")
    try:
        fully_shard(module, ignored_params=numbers)
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        raise WorkloadError(f"{refused}: {str(error).partition(chr(10))[0]} {instead}") from error


def whole_on_first(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with the parts of all workers, who must all ask: the first one gets them, the others nothing.

    They are gathered one at a time, so no other worker holds more than one.
    """
    found = {}
    for name, tensor in tensors.items():
        gathered = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if dist.get_rank() == 0:
            found[name] = gathered.cpu()
    return found


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this worker holds of a tensor, as a plain one: whatever it is asked, no other worker has to be."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this worker holds of `like`; as it is where `like` is whole or another shape."""
    if isinstance(tensor, DTensor) or not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    part: torch.Tensor = distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
    return part


def parts_of(tensors: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """The parts of a network's weights that this worker holds; those that are parts already stay so."""
    likes = module.state_dict()
    return {name: part_of(tensor, likes[name]) if name in likes else tensor for name, tensor in tensors.items()}
