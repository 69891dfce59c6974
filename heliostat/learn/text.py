"""A network for one text: each term weighed by how rare it is (TF-IDF), and what it says of the label added up."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.columns import Text
from heliostat.declared.training import Training
from heliostat.labels import Classes, Label
from heliostat.learn.network import tensor
from heliostat.learn.tabular import TWO_VALUES
from heliostat.texts import PADDING
from heliostat.workload import Batch, Encoded

EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 8, 128, 8e-2, 0.05
SMALLEST_LENGTH = 1e-6


class TextNetwork(nn.Module):
    """One logit or quantity a row, or one logit for each class.

    Words and runs of letters, which are many more, have weights of the same length each. In how many rows of training a
    term was is counted as they come by, and lies in the weights.
    """

    num_rows: Tensor
    num_rows_with: Tensor

    def __init__(self, column: Text, label: Label = TWO_VALUES) -> None:
        super().__init__()
        self.column, self.is_one = column.name, not isinstance(label, Classes)
        self.first_run = column.num_buckets if column.letters is None else column.num_buckets // 2
        num_outputs = len(label.values) if isinstance(label, Classes) else 1
        self.says = nn.EmbeddingBag(column.num_buckets, num_outputs, mode="sum", padding_idx=PADDING)
        nn.init.zeros_(self.says.weight)
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        self.register_buffer("num_rows", torch.zeros(()))
        self.register_buffer("num_rows_with", torch.zeros(column.num_buckets))

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Shape (num_rows,), of classes (num_rows, num_classes); in training, first count these rows in."""
        buckets = encoded[self.column]
        if self.training:
            self._count_in(buckets)
        outputs: Tensor = self.says(buckets, per_sample_weights=self._weights(buckets)) + self.bias
        return outputs.squeeze(1) if self.is_one else outputs

    @torch.no_grad()
    def _count_in(self, buckets: Tensor) -> None:
        self.num_rows += len(buckets)
        self.num_rows_with += torch.bincount(buckets.flatten(), minlength=len(self.num_rows_with))

    def _weights(self, buckets: Tensor) -> Tensor:
        rarity = ((1 + self.num_rows) / (1 + self.num_rows_with[buckets])).log().clamp(min=0) + 1
        weights = rarity.masked_fill(buckets == PADDING, 0.0)
        is_run = buckets >= self.first_run
        squares = weights.square()
        lengths = torch.where(is_run, _length(squares * is_run), _length(squares * ~is_run))
        return weights / lengths


def _length(squares: Tensor) -> Tensor:
    return squares.sum(1, keepdim=True).sqrt().clamp(min=SMALLEST_LENGTH)


def text_network(column: Text, label: Label = TWO_VALUES) -> dict[str, Any]:
    """What `Workload(**text_network(column))` needs to judge a text by its words, their pairs and their parts.

    Parts are what `Text(..., letters=(2, 5), num_buckets=1 << 17, most_terms=768)` declares.
    """

    def encode(batch: Batch) -> Encoded:
        """The buckets as they are."""
        return {column.name: tensor(batch[column.name])}

    def model(_: Mapping[str, int]) -> nn.Module:
        """A fresh network."""
        return TextNetwork(column, label)

    training = Training(epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    return {"encode": encode, "model": model, "training": training}
