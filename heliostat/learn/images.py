"""A small convolutional network for images that come as a vector of their pixels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.columns import Vector
from heliostat.errors import WorkloadError
from heliostat.learn.network import tensor
from heliostat.workload import Batch, Encoded

PIXELS = "pixels"


class ConvNet(nn.Module):
    """One logit an image; two blocks of convolutions, halved in between, then the mean over places and one layer."""

    def __init__(
        self, height: int, width: int, *, channels: int = 1, filters: int = 32, dropout: float = 0.2, shift: int = 1
    ) -> None:
        super().__init__()
        self.shape = (channels, height, width)
        self.shift = shift
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(_block(channels, filters), nn.MaxPool2d(2), _block(filters, 2 * filters))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * filters * 4, 1))

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (num_rows,); in training images are moved by up to `shift` pixels."""
        images = self.norm(encoded[PIXELS].reshape(-1, *self.shape))
        if self.training and self.shift:
            down, right = torch.randint(-self.shift, self.shift + 1, (2,)).tolist()
            images = torch.roll(images, (down, right), dims=(2, 3))
        features = nn.functional.adaptive_avg_pool2d(self.blocks(images), 2).flatten(1)
        logits: Tensor = self.head(features).squeeze(1)
        return logits


def image_network(column: Vector, *, height: int, width: int, channels: int = 1, **options: Any) -> dict[str, Any]:
    """What `Workload(**image_network(column, height=..., width=...))` needs to judge an image by its pixels.

    Pixels lie channel by channel, row by row; a missing image counts as one of zeros.
    """
    if column.length != height * width * channels:
        raise WorkloadError(
            f"An image of {channels} x {height} x {width} has {channels * height * width} pixels, {column.name!r} has "
            f"{column.length}; correct one of them."
        )

    def encode(batch: Batch) -> Encoded:
        """The pixels as they are."""
        return {PIXELS: tensor(batch[column.name]).nan_to_num()}

    def model(_: Mapping[str, int]) -> nn.Module:
        """A fresh network."""
        return ConvNet(height, width, channels=channels, **options)

    return {"encode": encode, "model": model}


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
