"""A small convolutional network for images that come as a vector of their pixels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.columns import Vector
from heliostat.errors import WorkloadError
from heliostat.labels import Classes, Label
from heliostat.learn.network import tensor
from heliostat.learn.tabular import TWO_VALUES
from heliostat.workload import Batch, Encoded

PIXELS = "pixels"
SMALLEST_SIDE = 2


class ConvNet(nn.Module):
    """One logit or quantity an image, or one logit for each class.

    Two blocks of convolutions, halved in between, then the mean over places and one layer.
    """

    def __init__(
        self,
        height: int,
        width: int,
        label: Label = TWO_VALUES,
        *,
        channels: int = 1,
        filters: int = 32,
        dropout: float = 0.2,
        shift: int = 1,
    ) -> None:
        super().__init__()
        self.shape, self.is_one = (channels, height, width), not isinstance(label, Classes)
        self.shift = shift
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(_block(channels, filters), nn.MaxPool2d(2), _block(filters, 2 * filters))
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * filters * 4, len(label.values) if isinstance(label, Classes) else 1)
        )

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Shape (num_rows,), of classes (num_rows, num_classes); in training images move by up to `shift` pixels."""
        images = self.norm(encoded[PIXELS].reshape(-1, *self.shape))
        if self.training and self.shift:
            down, right = torch.randint(-self.shift, self.shift + 1, (2,)).tolist()
            images = torch.roll(images, (down, right), dims=(2, 3))
        features = nn.functional.adaptive_avg_pool2d(self.blocks(images), 2).flatten(1)
        outputs: Tensor = self.head(features)
        return outputs.squeeze(1) if self.is_one else outputs


def image_network(
    column: Vector, label: Label = TWO_VALUES, *, height: int, width: int, channels: int = 1, **options: Any
) -> dict[str, Any]:
    """What `Workload(**image_network(column, height=..., width=...))` needs to judge an image by its pixels.

    Pixels lie channel by channel, row by row; a missing image counts as one of zeros.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise WorkloadError(
            f"An image of {height} x {width} pixels in {column.name!r} cannot be halved; both sides must be at least "
            f"{SMALLEST_SIDE}. Take heliostat.learn.tabular.network for it."
        )
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
        return ConvNet(height, width, label, channels=channels, **options)

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
