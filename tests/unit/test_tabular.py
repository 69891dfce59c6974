"""The network for tables: encodings follow the quantiles of training, members share weights, trees may compete."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Binary, Category, Number, Training, Vector
from heliostat.check import check
from heliostat.columns import normalise
from heliostat.errors import WorkloadError
from heliostat.labels import Classes, Quantity
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit
from heliostat.learn.prepare import NUM_SPANS, Preparation
from heliostat.learn.rows import split_by_time
from heliostat.learn.tabular import PiecewiseLinear, TabularEnsemble, auto, network
from heliostat.metrics import log_loss
from heliostat.vectors import from_matrix
from tests import toy
from tests.toy_rows import labelled_rows, lake_rows

NAN = float("nan")
X = [Number("x", -1e9, 1e9)]


def learned(**columns):
    table = pa.table(columns)
    kinds = [Number(name, -1e9, 1e9) if name != "site" else Category(name) for name in columns]
    return Preparation.fit(normalise(table, kinds), kinds, rare_below=1).sizes


def test_edges_lie_where_rows_are_and_some_where_rare_values_are():
    values = np.concatenate([np.random.default_rng(1).exponential(size=10_000), np.linspace(100, 200, 50)])
    edges = learned(x=values).edges("x")
    assert NUM_SPANS * 0.7 < len(edges) <= NUM_SPANS + 2
    assert sum(edge < 5 for edge in edges) > NUM_SPANS / 2
    assert max(edges) == 200
    rare = learned(x=np.concatenate([np.zeros(10_000), np.arange(40.0)])).edges("x")
    assert len(rare) > 8
    assert learned(x=[1.0, 1.0, 1.0, 2.0, 5.0]).edges("x") == (1.0, 2.0, 5.0)


@pytest.mark.parametrize("values", [[3.0, 3.0], [None, None]])
def test_a_number_that_says_nothing_still_has_a_span(values):
    low, high = learned(x=pa.array(values, pa.float64())).edges("x")
    assert low < high


def test_a_number_fills_the_spans_below_it_and_a_missing_one_none():
    spans = PiecewiseLinear([(0.0, 1.0, 3.0), (0.0, 10.0)])
    found = spans(torch.tensor([[2.0, 5.0], [NAN, -1.0], [9.0, 99.0]]))
    assert found.tolist() == [
        [[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]],
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    ]


def test_edges_that_are_one_in_float32_divide_nothing_by_zero():
    spans = PiecewiseLinear([(1e9, 1e9 + 1, 1e9 + 1000)])
    assert torch.isfinite(spans(torch.tensor([[1e9], [1e9 + 500], [2e9]]))).all()


def test_an_answer_is_that_of_the_mean_probability_of_all_members():
    made = TabularEnsemble(learned(x=[0.0, 1.0, 2.0]), X, num_members=3).eval()
    encoded = {"numbers": torch.tensor([[0.3], [1.7]]), "categories": torch.zeros(2, 0, dtype=torch.int64)}
    inputs = made._inputs(encoded)
    every = torch.stack(
        [made._shaped(made._member_outputs(inputs, torch.tensor([member]))).sigmoid() for member in range(3)]
    )
    assert torch.allclose(made(encoded).sigmoid(), every.mean(0), atol=1e-6)
    assert every.std(0).min() > 1e-4


def test_in_training_every_member_learns_and_the_large_weights_are_shared():
    made = TabularEnsemble(learned(x=[0.0, 1.0, 2.0]), X, num_members=4, width=8)
    encoded = {"numbers": torch.rand(200, 1), "categories": torch.zeros(200, 0, dtype=torch.int64)}
    made.train()(encoded).sum().backward()
    assert (made.heads.grad.abs().sum((1, 2)) > 0).all()
    assert sum(layer.weight.numel() for layer in made.layers) == 12 * 8 + 8 * 8


def test_of_several_classes_each_gets_a_logit_of_the_mean_probability():
    label = Classes("kind", ("a", "b", "c"))
    made = TabularEnsemble(learned(x=[0.0, 1.0, 2.0]), X, label, num_members=3)
    encoded = {"numbers": torch.rand(5, 1), "categories": torch.zeros(5, 0, dtype=torch.int64)}
    assert made.train()(encoded).shape == (5, 3)
    inputs = made.eval()._inputs(encoded)
    every = torch.stack(
        [made._shaped(made._member_outputs(inputs, torch.tensor([member]))).softmax(1) for member in range(3)]
    )
    assert torch.allclose(made(encoded).softmax(1), every.mean(0), atol=1e-6)


def test_a_quantity_is_the_mean_of_all_members():
    made = TabularEnsemble(learned(x=[0.0, 1.0, 2.0]), X, Quantity("minutes"), num_members=3).eval()
    encoded = {"numbers": torch.rand(5, 1), "categories": torch.zeros(5, 0, dtype=torch.int64)}
    inputs = made._inputs(encoded)
    every = torch.stack([made._shaped(made._member_outputs(inputs, torch.tensor([member]))) for member in range(3)])
    assert torch.allclose(made(encoded), every.mean(0), atol=1e-6)


@pytest.mark.parametrize(("label", "is_hidden"), [(Binary("late"), True), (Quantity("minutes"), False)])
def test_inputs_are_hidden_in_training_unless_a_quantity_is_asked(label, is_hidden):
    torch.manual_seed(0)
    made = TabularEnsemble(learned(x=[0.0, 1.0, 2.0]), X, label, num_members=1)
    encoded = {"numbers": torch.rand(200, 1), "categories": torch.zeros(200, 0, dtype=torch.int64)}
    learning, answering = made.train()(encoded), made.eval()(encoded)
    assert torch.allclose(learning, answering, atol=1e-5) is not is_hidden


def test_a_plain_mapping_in_place_of_what_was_learned_is_refused():
    with pytest.raises(WorkloadError, match="Hand it on"):
        TabularEnsemble({"site": 3}, [Category("site")])


def test_a_workload_needs_its_columns_alone_and_its_network_beats_the_constant():
    workload = replace(
        toy.workload, **network(toy.workload.columns), training=Training(epochs=4, batch_size=128, learning_rate=4e-3)
    )
    check(workload)
    fitted = fit(workload, *split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=800), share=0.2), seed=1)
    later = labelled_rows("2024-03")
    labels = later["label"].to_numpy()
    found = served(workload, fitted).answers(normalise(later, workload.columns))
    assert log_loss(labels, found) < log_loss(labels, np.full(len(labels), labels.mean())) - 0.03


def test_a_row_is_answered_alike_alone_and_in_a_batch():
    workload = replace(toy.workload, **network(toy.workload.columns), training=Training(epochs=1))
    model = served(workload, fit(workload, *split_by_time(labelled_rows("2024-01"), share=0.2), seed=1))
    rows = normalise(lake_rows("2024-02", rows_per_part=64), workload.columns)
    alone = np.concatenate([model.answers(rows.slice(row, 1)) for row in range(rows.num_rows)])
    assert np.allclose(alone, model.answers(rows), atol=1e-6)


def test_vectors_go_into_the_network_with_a_scale_of_their_own():
    columns = [Number("x", 0, 9), Vector("pixels", 4, optional=True)]
    matrix = np.random.default_rng(1).normal(1000, 50, size=(64, 4)).astype(np.float32)
    table = pa.table({"x": np.arange(64) % 9.0, "pixels": from_matrix(matrix)})
    preparation = Preparation.fit(table, columns)
    made = network(columns)
    module = made["model"](preparation.sizes).train()
    logits = module(made["encode"](preparation.prepare(table)))
    assert logits.shape == (64,)
    assert logits.abs().max() < 20


def test_auto_lets_both_kinds_compete_within_the_time_that_is_given():
    workload = replace(toy.workload, **auto(toy.workload.columns, fit_time=timedelta(minutes=2)))
    assert workload.kinds == ("trees", "network")
    assert workload.training.fit_time == timedelta(minutes=2)
    assert not workload.training.carry_shift
    assert not workload.training.keep_best
