"""A network laid out over several workers (FSDP2): each holds a part of every weight and gathers the rest when needed.

Imported only where that is asked for: what it needs takes a second to import.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def lay_out(module: nn.Module) -> nn.Module:
    """The same network with its weights laid out over all workers; every worker must have the same ones before.

    Every child is a part of its own, so only one at a time is whole in a worker's memory.
    """
    for child in module.children():
        if next(child.parameters(), None) is not None:
            fully_shard(child)
    fully_shard(module)
    return module


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
