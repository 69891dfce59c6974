"""Whether a network learns with all of its weights in every step: workers that average gradients must know."""

from collections.abc import Callable

import torch
from torch import nn

from heliostat.learn.examples import Examples
from heliostat.learn.separate_parts import tried


def has_unused_weights(
    module: nn.Module, examples: Examples, *, num_rows: int, answer: Callable[[Examples], torch.Tensor]
) -> bool:
    """Whether some weight that shall learn has no gradient in some of a few answers to `num_rows` rows each."""
    module.train()
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    for each in tried(examples, num_rows=num_rows):
        module.zero_grad()
        answer(each).sum().backward()  # type: ignore[no-untyped-call]
        if any(weight.grad is None for weight in learning):
            return True
    return False
