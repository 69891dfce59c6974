"""Blocks of a network for numbers and categories."""

import numpy as np
import pytest
import torch

from heliostat.errors import WorkloadError
from heliostat.learn.network import Standardise, Steps, TabularNetwork, circle, stack

NAN = float("nan")


def _rows(*, num_rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    pressure = random.normal(1017, 7, num_rows)
    gust = np.where(random.random(num_rows) < 0.8, np.nan, random.normal(25, 6, num_rows))
    return stack([pressure, gust], categories=[random.integers(0, 5, num_rows), random.integers(0, 3, num_rows)])


def test_batches_of_any_size_give_the_mean_and_spread_of_all_rows():
    numbers = _rows(num_rows=5000)["numbers"]
    layer = Standardise(2)
    for batch in (numbers[:1], numbers[1:300], numbers[300:]):
        layer(batch, torch.isnan(batch))
    gusts = numbers[:, 1][~torch.isnan(numbers[:, 1])]
    expected_mean = [numbers[:, 0].double().mean().item(), gusts.double().mean().item()]
    expected_variance = [numbers[:, 0].double().var(correction=0).item(), gusts.double().var(correction=0).item()]
    assert layer.mean.tolist() == pytest.approx(expected_mean, rel=1e-5)
    assert layer.variance.tolist() == pytest.approx(expected_variance, rel=1e-3)


def test_a_column_that_was_never_present_stays_finite():
    layer = Standardise(1)
    numbers = torch.full((4, 1), NAN)
    assert layer(numbers, torch.isnan(numbers)).tolist() == [[0.0]] * 4
    layer.eval()
    assert torch.isfinite(layer(torch.tensor([[3.0]]), torch.tensor([[False]]))).all()


def test_evaluation_counts_nothing_in():
    layer = Standardise(2).eval()
    numbers = _rows(num_rows=10)["numbers"]
    layer(numbers, torch.isnan(numbers))
    assert layer.count.tolist() == [0.0, 0.0]


def test_steps_are_flat_far_outside_what_was_seen():
    far, farther = Steps(8)(torch.tensor([[6.0]])), Steps(8)(torch.tensor([[60.0]]))
    assert torch.allclose(far, farther, atol=1e-4)


def test_midnight_is_near_the_last_minute_of_the_day():
    sine, cosine = circle(np.array([0.0, 1439.0, 720.0]), 1440)
    points = np.stack([sine, cosine], axis=1)
    assert np.linalg.norm(points[0] - points[1]) < 0.01
    assert np.linalg.norm(points[0] - points[2]) == pytest.approx(2.0)


def test_missing_numbers_and_unknown_categories_get_a_finite_answer():
    network = TabularNetwork(2, [5, 3])
    network(_rows(num_rows=64))
    network.eval()
    empty = stack([np.array([NAN]), np.array([NAN])], categories=[np.array([0]), np.array([0])])
    assert torch.isfinite(network(empty)).all()


def test_evaluation_hides_nothing_and_training_does():
    network = TabularNetwork(2, [5, 3], hide=0.5, dropout=0.0)
    rows = _rows(num_rows=256)
    assert not torch.equal(network(rows), network(rows))
    network.eval()
    assert torch.equal(network(rows), network(rows))


def test_what_was_learned_survives_in_the_weights_alone():
    network, other = TabularNetwork(2, [5, 3]), TabularNetwork(2, [5, 3])
    network(_rows(num_rows=256))
    other.load_state_dict(network.state_dict())
    rows = _rows(num_rows=16, seed=1)
    assert torch.equal(network.eval()(rows), other.eval()(rows))


def test_the_unknown_category_is_trained_although_no_row_has_it():
    network = TabularNetwork(1, [4], hide=0.2)
    before = network.embeddings[0].weight[0].detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    rows = stack([np.linspace(-1, 1, 128)], categories=[np.full(128, 2)])
    network(rows).sum().backward()
    optimizer.step()
    assert not torch.equal(network.embeddings[0].weight[0], before)


def test_a_network_without_inputs_is_refused():
    with pytest.raises(WorkloadError, match="at least one number"):
        TabularNetwork(0, [3])
