"""A network for tables: numbers piecewise linear between quantiles, categories embedded, members that share weights.

After TabM and its piecewise-linear encodings (Gorishniy et al. 2022, 2024): an ensemble costs little more than one
network, because members differ by what they multiply inputs with, and by their last layer.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heliostat.columns import Category, Column, Number, Text, Vector
from heliostat.declared.training import Training
from heliostat.declared.trees import Trees
from heliostat.errors import WorkloadError
from heliostat.labels import Binary, Classes, Label, Quantity
from heliostat.learn.by_column import ByColumn
from heliostat.learn.network import tensor
from heliostat.learn.prepare import UNKNOWN_CODE, Learned
from heliostat.texts import PADDING
from heliostat.workload import Batch, Encoded

NUMBERS, CATEGORIES, COLUMN = "numbers", "categories", "column "
CATEGORY_INIT_SCALE = 0.1
LARGEST_EMBEDDING = 16
TEXT_WIDTH = 32
NOISE = 0.1
TWO_VALUES = Binary("label")
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 12, 256, 8e-3, 0.05


class PiecewiseLinear(nn.Module):
    """Each number as how far it is through each span between quantiles of training, and as a number of its own.

    A missing number is zero in all of them, with a mark of its own.
    """

    starts: Tensor
    widths: Tensor

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        super().__init__()
        # Two edges may be one in float32, and nothing can be divided by the span between them.
        points = [torch.from_numpy(np.unique(np.array(each, np.float32))) for each in edges]
        num_spans = max((len(each) - 1 for each in points), default=1) or 1
        starts, widths = torch.full((len(edges), num_spans), torch.inf), torch.ones(len(edges), num_spans)
        for number, each in enumerate(points):
            starts[number, : len(each) - 1], widths[number, : len(each) - 1] = each[:-1], each.diff()
        # What was learned about columns lies in the preparation; a copy among the weights would only grow them.
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("widths", widths, persistent=False)
        self.num_outputs = num_spans + 1

    def forward(self, numbers: Tensor) -> Tensor:
        """(num_rows, num_numbers) to (num_rows, num_numbers, num_outputs), each between 0 and 1."""
        missing = torch.isnan(numbers)
        known = numbers.masked_fill(missing, 0.0).unsqueeze(2)
        shares = ((known - self.starts) / self.widths).clamp(0.0, 1.0).masked_fill(missing.unsqueeze(2), 0.0)
        return torch.cat([shares, missing.unsqueeze(2).to(shares.dtype)], dim=2)


class EachNumber(nn.Module):
    """A small layer of its own for each number."""

    def __init__(self, num_numbers: int, num_inputs: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_numbers, num_inputs, width).uniform_(-1, 1) / num_inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(num_numbers, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """(num_rows, num_numbers, num_inputs) to (num_rows, num_numbers * width)."""
        return torch.relu(torch.einsum("rni,niw->rnw", inputs, self.weight) + self.bias).flatten(1)


class Terms(nn.Module):
    """The mean of what the terms of a text are embedded as; zero for a text without any.

    Beside it each term speaks for itself, which is most of what a text of few words says.
    """

    def __init__(self, num_buckets: int, num_outputs: int) -> None:
        super().__init__()
        self.direct = nn.EmbeddingBag(num_buckets, num_outputs, mode="sum", padding_idx=PADDING)
        nn.init.zeros_(self.direct.weight)
        self.bag = nn.EmbeddingBag(num_buckets, TEXT_WIDTH, mode="mean", padding_idx=PADDING)
        nn.init.normal_(self.bag.weight, std=CATEGORY_INIT_SCALE)

    def forward(self, buckets: Tensor) -> tuple[Tensor, Tensor]:
        """(num_rows, most_terms) to (num_rows, TEXT_WIDTH), and to what the terms add to the outputs by themselves."""
        # The mean of many small vectors is smaller still, and what comes after would hardly see it.
        embedded = self.bag(buckets) / CATEGORY_INIT_SCALE
        num_terms = (buckets != PADDING).sum(1, keepdim=True).clamp(min=1)
        return embedded, self.direct(buckets) / num_terms.sqrt()


class TabularEnsemble(nn.Module):
    """One logit a row from numbers, categories, vectors and texts, by members that share all large weights.

    In training each row is learned by one member, drawn anew whenever it comes up, and each of its inputs is hidden
    with probability `hide` (a number as missing, a category as unknown); the answer is that of the mean probability,
    or quantity, of all members. `hide` and `dropout` are a tenth unless told, and nothing for a quantity.
    """

    def __init__(
        self,
        learned: Mapping[str, int],
        columns: Sequence[Column],
        label: Label = TWO_VALUES,
        *,
        num_members: int = 8,
        width: int = 192,
        num_layers: int = 2,
        number_width: int = 12,
        dropout: float | None = None,
        hide: float | None = None,
    ) -> None:
        super().__init__()
        # Without an input a probability turns to the middle; a quantity misses by all that the input says, squared.
        usual = 0.0 if isinstance(label, Quantity) else NOISE
        self.hide = usual if hide is None else hide
        if not isinstance(learned, Learned):
            raise WorkloadError(
                f"TabularEnsemble takes what `model` is called with; got a {type(learned).__name__}. Hand it on."
            )
        numbers, categories, vectors = by_kind(columns)
        sizes = [learned[name] for name in categories]
        self.spans = PiecewiseLinear([learned.edges(name) for name in numbers])
        self.numbers = EachNumber(len(numbers), self.spans.num_outputs, number_width)
        self.categories = nn.ModuleList([_embedding(size) for size in sizes])
        num_inputs = len(numbers) * number_width + sum(min(LARGEST_EMBEDDING, 1 + size // 2) for size in sizes)
        num_outputs = len(label.values) if isinstance(label, Classes) else 1
        texts = {column.name: column.num_buckets for column in columns if isinstance(column, Text)}
        num_inputs += sum(vectors.values()) + TEXT_WIDTH * len(texts)
        self.texts = ByColumn({name: Terms(num_buckets, num_outputs) for name, num_buckets in texts.items()})
        self.norms = ByColumn({name: nn.BatchNorm1d(length) for name, length in vectors.items()})
        self.scale = nn.Parameter(torch.randint(0, 2, (num_members, num_inputs)).float() * 2 - 1)
        widths = [num_inputs] + [width] * num_layers
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])
        self.member_bias = nn.Parameter(torch.zeros(num_members, num_layers, width))
        self.dropout = nn.Dropout(usual if dropout is None else dropout)
        self.label = label
        self.heads = nn.Parameter(torch.empty(num_members, num_outputs, width).uniform_(-1, 1) / width**0.5)
        self.biases = nn.Parameter(torch.zeros(num_members, num_outputs))

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """A logit, one for each class, or a quantity, from what the encode of `network` gives: shape (num_rows,), of
        classes (num_rows, num_classes).
        """
        texts = [terms(encoded[shown_as(name)]) for name, terms in self.texts.by_name()]
        inputs = torch.cat([self._inputs(encoded), *(embedded for embedded, _ in texts)], dim=1)
        direct = sum((outputs for _, outputs in texts), torch.zeros(1, device=inputs.device))
        if self.training:
            member = torch.randint(len(self.scale), (len(inputs),), device=inputs.device)
            return self._shaped(self._member_outputs(inputs, member) + direct)
        members = [torch.tensor([member], device=inputs.device) for member in range(len(self.scale))]
        every = [self._shaped(self._member_outputs(inputs, member) + direct) for member in members]
        return _of_all(torch.stack(every), self.label)

    def _shaped(self, outputs: Tensor) -> Tensor:
        return outputs if isinstance(self.label, Classes) else outputs.squeeze(1)

    def _inputs(self, encoded: Mapping[str, Tensor]) -> Tensor:
        numbers, codes = encoded[NUMBERS], encoded[CATEGORIES]
        if self.training and self.hide:
            numbers = numbers.masked_fill(torch.rand_like(numbers) < self.hide, torch.nan)
            codes = codes.masked_fill(torch.rand(codes.shape, device=codes.device) < self.hide, UNKNOWN_CODE)
        parts = [self.numbers(self.spans(numbers))]
        parts += [embedding(codes[:, place]) for place, embedding in enumerate(self.categories)]
        parts += [norm(encoded[shown_as(name)].nan_to_num()) for name, norm in self.norms.by_name()]
        return torch.cat(parts, dim=1)

    def _member_outputs(self, inputs: Tensor, member: Tensor) -> Tensor:
        hidden = inputs * self.scale[member]
        for number, layer in enumerate(self.layers):
            hidden = self.dropout(torch.relu(layer(hidden) + self.member_bias[member, number]))
        heads = self.heads[member].expand(len(hidden), -1, -1)
        return torch.einsum("rw,row->ro", hidden, heads) + self.biases[member]


def _of_all(members: Tensor, label: Label) -> Tensor:
    """One answer of all members: of probabilities the mean, as a logit again; of quantities the mean."""
    if isinstance(label, Quantity):
        return members.mean(0)
    if isinstance(label, Classes):
        return members.softmax(2).mean(0).clamp(min=1e-9).log()
    return members.sigmoid().mean(0).logit(eps=1e-7)


def _embedding(size: int) -> nn.Embedding:
    embedding = nn.Embedding(size, min(LARGEST_EMBEDDING, 1 + size // 2))
    # Small at first: categories seen a few times should stay near each other.
    nn.init.normal_(embedding.weight, std=CATEGORY_INIT_SCALE)
    return embedding


def by_kind(columns: Sequence[Column]) -> tuple[list[str], list[str], dict[str, int]]:
    """The names of the numbers and of the categories, and the lengths of the vectors by name."""
    numbers = [column.name for column in columns if isinstance(column, Number)]
    categories = [column.name for column in columns if isinstance(column, Category)]
    return numbers, categories, {column.name: column.length for column in columns if isinstance(column, Vector)}


def shown_as(name: str) -> str:
    """What a network is given a vector or text of this name as: not as what all numbers or categories are given as."""
    return f"{COLUMN}{name}" if name in (NUMBERS, CATEGORIES) or name.startswith(COLUMN) else name


def network(columns: Sequence[Column], label: Label = TWO_VALUES, **options: Any) -> dict[str, Any]:
    """What `Workload(**network(columns))` needs for a `TabularEnsemble` of all columns; `options` are the network's."""
    numbers, categories, vectors = by_kind(columns)
    texts = [column.name for column in columns if isinstance(column, Text)]

    def encode(batch: Batch) -> Encoded:
        """Numbers and codes side by side, vectors and buckets as they are."""
        return {
            NUMBERS: _side_by_side(batch, numbers, np.float32),
            CATEGORIES: _side_by_side(batch, categories, np.int64),
            **{shown_as(name): tensor(batch[name]) for name in (*vectors, *texts)},
        }

    def model(learned: Mapping[str, int]) -> nn.Module:
        """A fresh network for what training saw."""
        return TabularEnsemble(learned, columns, label, **options)

    return {"encode": encode, "model": model}


def auto(columns: Sequence[Column], label: Label = TWO_VALUES, *, fit_time: timedelta | None = None) -> dict[str, Any]:
    """What `Workload(**auto(columns))` needs to let trees and a network compete on every training's hold-out.

    Trees, the quick ones, are fitted first; all fits share `fit_time`, and end when theirs is over. Which won, and what
    the other scored, is in the run's record and the winner's lineage. Needs the extra `trees`. Of texts alone there are
    no trees.
    """
    training = Training(
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        fit_time=fit_time,
        carry_shift=False,
        keep_best=False,
    )
    trees = None if all(isinstance(column, Text) for column in columns) else Trees()
    return {**network(columns, label), "trees": trees, "training": training}


def _side_by_side(batch: Batch, names: Sequence[str], kind: type) -> Tensor:
    num_rows = len(next(iter(batch.values())))
    found: NDArray[np.generic] = np.empty((num_rows, len(names)), kind)
    for place, name in enumerate(names):
        found[:, place] = batch[name]
    return torch.from_numpy(found)
