"""Checkpoints in parts: each worker writes what it holds of a network, and reads what it needs, however many there are.

Files and their list are those of `torch.distributed.checkpoint`. The list is written last, when all workers have
written: without it there is no checkpoint. Imported only where that is asked for: it takes a second to import.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from heliostat.errors import TrainingError
from heliostat.learn import parallel
from heliostat.learn.state import BEST, OPTIMIZER, WEIGHTS, FitState


def write(state: FitState, directory: Path, *, group: dist.ProcessGroup | None = None) -> None:
    """All workers' parts lie in the directory, of which each writes its own; every worker of the group must ask.

    What all hold alike one of them writes. TrainingError on all when one cannot.
    """
    writer = FileSystemWriter(directory)
    with _told(f"written to {directory}"):
        save(state.tensors(), storage_writer=writer, process_group=group, no_dist=parallel.num_ranks() == 1)


def _first_line(error: CheckpointException) -> str:
    told = next(iter(error.failures.values()), None)
    return "no reason given" if told is None else f"{type(told[0]).__name__}: {str(told[0]).partition(chr(10))[0]}"


def read(state: FitState, module: nn.Module, optimizer: torch.optim.Optimizer) -> FitState:
    """The state with this worker's parts for the network and its optimizer, laid out as those are; all must ask.

    RuntimeError where the network is another, TrainingError where a part cannot be read.
    """
    assert state.parts_dir is not None
    listed = FileSystemReader(state.parts_dir).read_metadata().state_dict_metadata
    weights = module.state_dict()
    found = {
        path: _room(path, size, weights, optimizer)
        for path, size in sorted(listed.items())
        if isinstance(size, TensorStorageMetadata)
    }
    with _told(f"read from {state.parts_dir}"):
        load(found, checkpoint_id=state.parts_dir, no_dist=parallel.num_ranks() == 1)
    filled = FitState.of(state.header(), found)
    return replace(filled, is_in_parts=parallel.num_ranks() > 1)


def _room(
    path: str, size: TensorStorageMetadata, weights: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> torch.Tensor:
    """An empty tensor for what lies under a name, laid out as what it belongs to."""
    kind, name = path.split("/", 1)
    if kind == OPTIMIZER:
        like = _parameters(optimizer)[int(name.partition(".")[0])]
        # Beside moments, which are like the parameter, an optimizer counts steps.
        return (
            torch.zeros_like(like) if like.shape == size.size else torch.zeros(size.size, dtype=size.properties.dtype)
        )
    assert kind in (WEIGHTS, BEST)
    if name not in weights or weights[name].shape != size.size:
        raise RuntimeError(f"{name} of shape {tuple(size.size)} is not in it")
    return torch.zeros_like(weights[name])


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings() if parallel.num_ranks() == 1 else nullcontext():
            if parallel.num_ranks() == 1:  # else maybe in a thread, and filters are those of the process
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:  # what no thread's edge would catch: it is no Exception
        raise TrainingError(
            f"The parts of a checkpoint cannot be {what} ({_first_line(error)}); "
            "see to the disk, and start the run again under its name."
        ) from error
