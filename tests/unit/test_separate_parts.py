"""Which parts of a network are laid out over workers each by itself."""

import numpy as np
import pytest
import torch
from torch import nn

from heliostat.learn.examples import Examples
from heliostat.learn.prepare import Preparation
from heliostat.learn.separate_parts import separate_parts
from tests.toy import workload
from tests.toy_rows import labelled_rows


class Parted(nn.Module):
    """Layers in a list, one of its own, and a weight that nobody else has."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.last = nn.Linear(2, 1)
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, inputs):
        for layer in self.layers:
            inputs = layer(inputs).relu()
        return self.last(inputs * self.scale)


class Borrows(Parted):
    def forward(self, inputs):
        return super().forward(inputs) + self.last.weight.sum()


class BorrowsToAnswer(Parted):
    def forward(self, inputs):
        return super().forward(inputs) + (0 if self.training else torch.cat([self.last.weight.flatten()]).sum())


class Repeats(Parted):
    def forward(self, inputs):
        return super().forward(self.layers[1](inputs))


class Skips(Parted):
    """Leaves a layer out where all of an input is small."""

    def forward(self, inputs):
        hidden = self.layers[0](inputs)
        return self.last(self.layers[1](hidden) if (inputs[:, 0] > 98).any() else hidden)


class Ties(Parted):
    def __init__(self):
        super().__init__()
        self.layers[1].weight = self.layers[0].weight


class Method(nn.Linear):
    """A layer that is asked otherwise than by calling it."""

    def code(self, inputs):
        return super().forward(inputs)


class Asks(Parted):
    def __init__(self):
        super().__init__()
        self.code = Method(2, 2)

    def forward(self, inputs):
        return super().forward(self.code.code(inputs))


@pytest.fixture(scope="module")
def examples():
    rows = labelled_rows("2024-01", rows_per_part=200)
    return Examples.of(rows, Preparation.fit(rows, workload.columns))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Parted, ["layers.0", "layers.1", "last"]),
        (Borrows, ["layers.0", "layers.1"]),
        (BorrowsToAnswer, ["layers.0", "layers.1"]),
        (Repeats, ["layers.0", "last"]),
        (Skips, ["layers.0", "last"]),
        (Ties, ["last"]),
        (Asks, ["layers.0", "layers.1", "last"]),
    ],
)
def test_a_part_is_one_that_every_answer_calls_once_and_whose_weights_nothing_else_uses(examples, kind, expected):
    network = kind()

    def answer(some):
        load = torch.from_numpy(np.stack([some.batch["load_percent"]] * 2, axis=1).astype(np.float32))
        return network(load)

    assert separate_parts(network, examples, num_rows=16, answer=answer) == expected
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
