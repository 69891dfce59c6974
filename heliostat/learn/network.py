"""Building blocks for rows of numbers and categories: what was learned, normalisation included, lies in the weights."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

from heliostat.errors import WorkloadError

UNKNOWN_CODE = 0
SMALLEST_VARIANCE = 1e-6
STEP_SHARPNESS = 4.0
CATEGORY_INIT_SCALE = 0.1


def circle(values: NDArray[np.generic], period: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine of a number that starts anew after `period`, so that 23:59 and 00:00 are neighbours."""
    angle = 2 * np.pi * values.astype(np.float64) / period
    return np.sin(angle), np.cos(angle)


def tensor(values: NDArray[np.generic]) -> Tensor:
    """A prepared column as a tensor of the same memory: write nothing into it, it may be a caller's request."""
    found: Tensor = from_dlpack(values)  # takes what is read-only, as from_numpy does not
    return found


def stack(numbers: Sequence[NDArray[np.generic]], *, categories: Sequence[NDArray[np.generic]]) -> dict[str, Tensor]:
    """What `TabularNetwork` takes: numbers as float32 (NaN: missing) and category codes as int64, one row each."""
    return {
        "numbers": torch.from_numpy(np.stack(numbers, axis=1).astype(np.float32)),
        "categories": torch.from_numpy(np.stack(categories, axis=1).astype(np.int64)),
    }


class Standardise(nn.Module):
    """Numbers with mean 0 and variance 1 over all rows trained on; a missing number becomes 0."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, num_numbers: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(num_numbers))
        self.register_buffer("mean", torch.zeros(num_numbers))
        self.register_buffer("variance", torch.ones(num_numbers))

    def forward(self, numbers: Tensor, missing: Tensor) -> Tensor:
        """Standardise; in training, first count these rows in."""
        values = numbers.masked_fill(missing, 0.0)
        if self.training:
            self._count_in(values, (~missing).to(values.dtype))
        scaled = (values - self.mean) / (self.variance + SMALLEST_VARIANCE).sqrt()
        return scaled.masked_fill(missing, 0.0)

    @torch.no_grad()
    def _count_in(self, values: Tensor, present: Tensor) -> None:
        # Sums of squares lose all digits where the mean is large beside the spread (air pressure): so merge the
        # batch's own mean and variance.
        count = present.sum(0)
        total = self.count + count
        share = torch.where(total > 0, count / total.clamp(min=1), 0.0)
        mean = (values * present).sum(0) / count.clamp(min=1)
        variance = ((values - mean).square() * present).sum(0) / count.clamp(min=1)
        shift = mean - self.mean
        self.variance.copy_((1 - share) * self.variance + share * variance + share * (1 - share) * shift.square())
        self.mean.add_(share * shift)
        self.count.copy_(total)


class Steps(nn.Module):
    """Soft steps at the quantiles of a standard normal: bends for a network, flat beyond what was seen."""

    edges: Tensor

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        edges = [NormalDist().inv_cdf((step + 0.5) / num_steps) for step in range(num_steps)]
        self.register_buffer("edges", torch.tensor(edges))

    def forward(self, scaled: Tensor) -> Tensor:
        """(num_rows, num_numbers) to (num_rows, num_numbers * num_steps), each between 0 and 1."""
        return torch.sigmoid(STEP_SHARPNESS * (scaled.unsqueeze(2) - self.edges)).flatten(1)


class Residual(nn.Module):
    """A layer that adds to what came in."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, hidden: Tensor) -> Tensor:
        """The input and what the layer makes of it."""
        added: Tensor = self.layer(hidden)
        return hidden + added


class TabularNetwork(nn.Module):
    """One logit or quantity a row, or `num_outputs` of them, from numbers and categories.

    In training each input of each row is hidden with probability `hide`: a number as missing, a category as unknown.
    So no answer hangs on one input, both states are trained, and single days cannot be learned by heart.
    """

    def __init__(
        self,
        num_numbers: int,
        sizes: Sequence[int],
        *,
        width: int = 128,
        num_layers: int = 2,
        num_steps: int = 8,
        category_width: int = 8,
        hide: float = 0.1,
        dropout: float = 0.1,
        num_outputs: int | None = None,
    ) -> None:
        super().__init__()
        if not num_numbers or not sizes or not 0 <= hide < 1:
            raise WorkloadError(
                f"TabularNetwork({num_numbers}, {list(sizes)}, hide={hide}): it needs at least one number, at least "
                "one category, and 0 <= hide < 1."
            )
        self.hide, self.num_outputs = hide, num_outputs
        self.standardise = Standardise(num_numbers)
        self.steps = Steps(num_steps)
        self.embeddings = nn.ModuleList([_embedding(size, category_width) for size in sizes])
        num_inputs = num_numbers * (num_steps + 2) + sum(min(category_width, size) for size in sizes)
        self.body = nn.Sequential(
            nn.Linear(num_inputs, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            *(Residual(width, dropout=dropout) for _ in range(num_layers - 1)),
            nn.Linear(width, num_outputs or 1),
        )

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Shape (num_rows,), or (num_rows, num_outputs), from what `stack` gives."""
        numbers, codes = encoded["numbers"], encoded["categories"]
        missing = torch.isnan(numbers)
        scaled = self.standardise(numbers, missing)
        if self.training and self.hide:
            hidden = torch.rand_like(scaled) < self.hide
            scaled, missing = scaled.masked_fill(hidden, 0.0), missing | hidden
            codes = codes.masked_fill(torch.rand(codes.shape, device=codes.device) < self.hide, UNKNOWN_CODE)
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        inputs = torch.cat([scaled, missing.to(scaled.dtype), self.steps(scaled), *embedded], dim=1)
        outputs: Tensor = self.body(inputs)
        return outputs.squeeze(1) if self.num_outputs is None else outputs


def _embedding(size: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(size, min(width, size))
    # Small at first: categories seen a few times should stay near each other.
    nn.init.normal_(embedding.weight, std=CATEGORY_INIT_SCALE)
    return embedding
