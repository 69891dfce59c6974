"""The network for images: a vector of pixels in, one logit out, and a wrong size told when it is declared."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Classes, Quantity, Vector
from heliostat.errors import WorkloadError
from heliostat.learn.images import image_network
from heliostat.learn.prepare import Preparation
from heliostat.vectors import from_matrix

COLUMN = Vector("scan", 2 * 6 * 5, optional=True)


def prepared(matrix):
    table = pa.table({"scan": from_matrix(matrix)})
    return Preparation.fit(table, [COLUMN]).prepare(table)


def test_every_image_gets_one_logit_alone_and_in_a_batch():
    made = image_network(COLUMN, height=6, width=5, channels=2)
    module = made["model"]({}).eval()
    matrix = np.random.default_rng(1).random((9, COLUMN.length), np.float32)
    with torch.inference_mode():
        together = module(made["encode"](prepared(matrix)))
        alone = [module(made["encode"](prepared(matrix[row : row + 1]))) for row in range(9)]
    assert together.shape == (9,)
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_pixels_lie_row_by_row():
    module = image_network(Vector("scan", 12), height=3, width=4)["model"]({})
    image = torch.arange(12.0).reshape(1, 12)
    assert image.reshape(-1, *module.shape)[0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_network_learns_where_a_bright_spot_is():
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 256).astype(np.float32)
    images = random.normal(0, 0.3, (256, 6, 6)).astype(np.float32)
    images[np.arange(256), 1 + 3 * labels.astype(int), random.integers(1, 5, 256)] += 3
    made = image_network(Vector("scan", 36), height=6, width=6, filters=8)
    torch.manual_seed(1)
    module = made["model"]({}).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    pixels = {"pixels": torch.from_numpy(images.reshape(256, 36))}
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(module(pixels), torch.from_numpy(labels)).backward()
        optimizer.step()
    answers = module.eval()(pixels) > 0
    assert (answers.numpy() == (labels > 0.5)).mean() > 0.95


def test_a_vector_of_another_size_is_refused_when_declared():
    with pytest.raises(WorkloadError, match="has 36 pixels, 'scan' has 60"):
        image_network(COLUMN, height=6, width=6)


@pytest.mark.parametrize("size", [(1, 60), (60, 1)])
def test_an_image_that_cannot_be_halved_is_refused_when_declared(size):
    with pytest.raises(WorkloadError, match="both sides must be at least 2"):
        image_network(COLUMN, height=size[0], width=size[1])


def test_of_several_classes_each_gets_a_logit_and_a_quantity_is_one_number():
    of_classes = image_network(COLUMN, Classes("digit", ("0", "1", "2")), height=6, width=5, channels=2)
    of_quantity = image_network(COLUMN, Quantity("age"), height=6, width=5, channels=2)
    pixels = {"pixels": torch.rand(4, COLUMN.length)}
    assert of_classes["model"]({})(pixels).shape == (4, 3)
    assert of_quantity["model"]({})(pixels).shape == (4,)
