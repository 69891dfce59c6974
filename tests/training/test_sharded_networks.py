"""Networks of every kind, laid out over two workers: what two with a copy each fit, and one, and what goes on."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from heliostat.errors import WorkloadError
from heliostat.learn.sharding import lay_out
from tests.training.ranks import exit_codes
from tests.training.sharded_networks import ALIKE, NETWORKS

# Rows are counted as a mean over workers, which a network takes only shares of.
COUNTS = ("num_rows", "num_rows_with")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all of them fit."""
    made = tmp_path_factory.mktemp("networks")
    for how, num_ranks in [("sharded", 2), ("copied", 2), ("resumes", 2), ("copied", 1), ("resumes", 1)]:
        assert exit_codes("tests.training.sharded_networks", made, num_ranks, how) == [0] * num_ranks
    return made


def both(folder: Path, name: str, how: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights of the sharded network and of another fit of it."""
    sharded, other = load_file(folder / f"{name} sharded-2"), load_file(folder / f"{name} {how}")
    assert sharded.keys() == other.keys()
    return sharded, other


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"a branch"}))
def test_a_sharded_network_learns_what_it_would_on_workers_with_a_copy_each(folder, name):
    sharded, copied = both(folder, name, "copied-2")
    for each, tensor in sharded.items():
        torch.testing.assert_close(tensor, copied[each], atol=1e-5, rtol=1e-5)


def test_a_branch_that_some_workers_take_is_learned_as_by_one_process(folder):
    sharded, copied = both(folder, "a branch", "copied-2")
    alone = load_file(folder / "a branch copied-1")
    for each, tensor in copied.items():
        torch.testing.assert_close(tensor, alone[each], atol=1e-3, rtol=1e-3)
    # A step that no worker takes it in counts as one without a slope, and goes on as those before it.
    torch.testing.assert_close(sharded["losses"], copied["losses"], atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("how", ["copied-1", "resumes-1"])
def test_a_sharded_network_is_the_one_that_one_process_fits_from_the_start_or_a_checkpoint_on(folder, name, how):
    sharded, alone = both(folder, name, how)
    for each in sharded.keys() - set(COUNTS):
        torch.testing.assert_close(sharded[each], alone[each], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sharded_network_that_goes_on_from_a_checkpoint_is_the_same_to_the_last_bit(folder, name):
    sharded, resumed = both(folder, name, "resumes-2")
    assert all(torch.equal(sharded[each], resumed[each]) for each in sharded)


def in_two_widths() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))


def not_in_one_piece() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    network[1].weight = nn.Parameter(torch.ones(2, 3).T)
    return network


@pytest.mark.parametrize(
    ("network", "parts", "said"),
    [
        (
            not_in_one_piece,
            ["0", "1"],
            "The part '1' of the network, Linear, cannot be laid out over workers: FSDP does",
        ),
        (
            in_two_widths,
            ["0"],
            "The network, Sequential, cannot be.*: it has weights of torch.float32 and torch.float64",
        ),
    ],
)
def test_a_network_that_cannot_be_laid_out_is_refused_with_the_name_of_its_part(tmp_path, network, parts, said):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        with pytest.raises(WorkloadError, match=rf"{said}.*leave Training\(shard=True\) out"):
            lay_out(network(), parts=parts)
    finally:
        dist.destroy_process_group()


def test_a_network_whose_layers_know_no_sizes_yet_is_refused_before_anything_runs():
    with pytest.raises(
        WorkloadError, match=r"The weight '0.weight' of the network has no size yet.*leave Training\(sh"
    ):
        lay_out(nn.Sequential(nn.LazyLinear(3)))
