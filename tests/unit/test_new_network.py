"""What `model` gives and nothing can be fitted to is told as one sentence with file and line, at the first attempt."""

import inspect
from dataclasses import replace

import pytest
import torch
from torch import nn

from heliostat import Training
from heliostat.check import check
from heliostat.errors import TrainingError, WorkloadError
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit, refit
from heliostat.learn.rows import split_by_time
from tests.toy import Network, workload
from tests.toy_rows import labelled_rows

HERE = "test_new_network.py"
TRAIN, LATER = split_by_time(labelled_rows("2024-01", rows_per_part=400), share=0.2)
QUICK = replace(workload, training=Training(epochs=1, batch_size=64))


class Summed(nn.Module):
    def forward(self, encoded):
        return encoded["numbers"].nan_to_num().sum(1)


class Sparse(Network):
    def __init__(self, num_sites):
        super().__init__(num_sites)
        self.site = nn.Embedding(num_sites, self.site.embedding_dim, sparse=True)


class SparseInside(Network):
    """Asks for sparse gradients where no layer says so."""

    def __init__(self, num_sites):
        super().__init__(num_sites)
        self.table = nn.Parameter(torch.zeros(num_sites, 1))

    def forward(self, encoded):
        return super().forward(encoded) + nn.functional.embedding(encoded["site"], self.table, sparse=True).mean(1)


class Counting(Network):
    def get_extra_state(self):
        return {"rows": 3}

    def set_extra_state(self, state):
        raise AssertionError(state)


class Marked(Network):
    """Keeps a tensor beside its weights, which a bundle can hold."""

    mark = torch.zeros(2)

    def get_extra_state(self):
        return self.mark

    def set_extra_state(self, state):
        self.mark = state

    def forward(self, encoded):
        if self.training:
            self.mark = torch.tensor([1.0, 2.0])
        return super().forward(encoded) + self.mark.sum()


def none(sizes):
    Network(sizes["site"])


def the_class(sizes):
    return Network


def a_function(sizes):
    return Network(sizes["site"]).forward


def empty(sizes):
    return Summed()


def frozen(sizes):
    return Network(sizes["site"]).requires_grad_(requires_grad=False)


def half(sizes):
    return Network(sizes["site"]).half()


def sparse(sizes):
    return Sparse(sizes["site"])


def counting(sizes):
    return Counting(sizes["site"])


WRONG = [
    (none, r"model gives None (@); end it with `return` and the network"),
    (the_class, r"model gives the class Network itself (@); call it: Network(...)"),
    (a_function, r"model gives no torch.nn.Module but a value of type method (@); return the network"),
    (empty, r"model gives the network Summed without parameters, so there is nothing to learn (@); assign its layers"),
    (frozen, r"model gives the network Network whose parameters are all frozen (@); let requires_grad stay True"),
    (
        half,
        r"model gives the network Network with float16 weights ('site.weight'), which overflow in the steps of",
    ),
    (
        sparse,
        r"model gives the network Sparse whose site has sparse gradients, which AdamW does not take (@); leave sparse",
    ),
    (
        counting,
        r"model gives the network Counting that keeps a dict in its state ('_extra_state'), and a version ",
    ),
]


@pytest.mark.parametrize(("model", "said"), WRONG)
def test_what_is_no_network_is_told_with_file_and_line(model, said):
    expected = said.replace("@", f"{HERE}, line {inspect.getsourcelines(model)[1]}")
    with pytest.raises(WorkloadError) as fitted:
        fit(replace(QUICK, model=model), TRAIN, LATER, seed=1)
    with pytest.raises(WorkloadError) as checked:
        check(replace(QUICK, model=model))
    assert expected in str(fitted.value)
    assert expected in str(checked.value)


def test_what_is_fitted_again_is_looked_at_too():
    with pytest.raises(WorkloadError, match="model gives None"):
        refit(replace(QUICK, model=none), TRAIN, num_epochs=1, calibration=None, seed=1)


def test_what_the_optimizer_refuses_is_told_with_the_place_of_the_model():
    def model(sizes):
        return SparseInside(sizes["site"])

    with pytest.raises(TrainingError, match=rf"the network failed with RuntimeError: .*sparse.*{HERE}, line \d+\)"):
        fit(replace(QUICK, model=model), TRAIN, LATER, seed=1)


def test_a_network_whose_optimizer_finds_no_memory_is_told_what_it_takes(monkeypatch):
    def step(*_, **__):
        return torch.empty(2**60)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(TrainingError, match=r"does not suffice for its weights, .* \(Training\(shard=True\)\)"):
        fit(QUICK, TRAIN, LATER, seed=1)


def test_a_frozen_table_may_be_sparse_and_some_weights_may_be_frozen():
    def model(sizes):
        network = Sparse(sizes["site"])
        network.site.requires_grad_(requires_grad=False)
        return network

    assert fit(replace(QUICK, model=model), TRAIN, LATER, seed=1).history


def test_a_tensor_that_a_network_keeps_beside_its_weights_goes_through_checkpoints_and_bundles():
    own = replace(QUICK, model=lambda sizes: Marked(sizes["site"]), training=replace(QUICK.training, epochs=2))
    states = []
    fitted = fit(own, TRAIN, LATER, seed=1, on_epoch=states.append)
    assert torch.equal(fitted.weights["_extra_state"], torch.tensor([1.0, 2.0]))
    resumed = fit(own, TRAIN, LATER, seed=1, resume=type(states[0]).from_bytes(states[0].to_bytes()))
    assert resumed.history == fitted.history
    assert served(own, resumed).answers(LATER).tolist() == served(own, fitted).answers(LATER).tolist()
