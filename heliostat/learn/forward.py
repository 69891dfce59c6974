"""What a network gives for rows, in the shape that the kind of label asks for."""

import torch
from torch import nn

from heliostat.errors import TrainingError
from heliostat.learn.faults import defined_at
from heliostat.workload import Encoded


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
