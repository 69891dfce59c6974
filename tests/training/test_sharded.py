"""A network laid out over several workers, each a process of its own, and its checkpoints in parts."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from jobs._parts import has_all_parts
from tests.toy_rows import labelled_rows
from tests.training.ranks import exit_codes
from tests.training.sharded_rank import KILLED, OWN


def sharded_ranks(folder: Path, num_ranks: int, how: str) -> list[int]:
    """The exit codes of so many workers that share one network."""
    return exit_codes("tests.training.sharded_rank", folder, num_ranks, how)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit over two workers that nobody disturbed, and the checkpoint of another that was killed inside an epoch."""
    made = tmp_path_factory.mktemp("sharded")
    assert sharded_ranks(made, 2, "whole") == [0, 0]
    assert sharded_ranks(made, 2, "begins") == [KILLED, KILLED]
    assert has_all_parts(made / "begins")
    return made


def weights(folder: Path, how: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"{how}.safetensors")


def test_a_sharded_fit_that_was_killed_goes_on_over_as_many_workers_to_the_last_bit(folder):
    assert sharded_ranks(folder, 2, "resumes") == [0, 0]
    found, expected = weights(folder, "resumes-2"), weights(folder, "whole-2")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_a_sharded_fit_goes_on_over_another_number_of_workers_to_the_network_that_one_fits(folder, num_ranks):
    assert sharded_ranks(folder, num_ranks, "resumes") == [0] * num_ranks
    found = weights(folder, f"resumes-{num_ranks}")
    rows = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    alone = fit(OWN, *rows, seed=1).weights
    assert all(torch.allclose(found[name], alone[name], atol=1e-3) for name in alone)


def test_no_worker_holds_or_gathers_the_whole_state_at_a_checkpoint_and_the_first_alone_at_the_end(folder):
    found = [json.loads((folder / f"whole-2-{rank}.json").read_text()) for rank in range(2)]
    assert len(found[0]["states"]) >= 6
    for first, second in zip(found[0]["states"], found[1]["states"], strict=True):
        assert first["all"] == second["all"]
        # Counts of steps both hold, and a single row is not parted.
        assert first["all"] <= first["held"] + second["held"] <= 1.1 * first["all"]
        assert max(first["held"], second["held"]) < 0.6 * first["all"]
    for rank in found:
        assert set(rank["gathered_at"]) == {len(rank["states"])}  # all after the last of them
    assert found[0]["weights"] > 0
    assert found[1]["weights"] == 0
    sizes = [path.stat().st_size for path in (folder / "begins").glob("*.distcp")]
    assert len(sizes) == 2
    assert max(sizes) < 0.6 * sum(sizes)


def test_a_worker_that_is_lost_before_its_part_is_written_leaves_no_checkpoint(folder):
    codes = sharded_ranks(folder, 2, "tears")
    assert codes[1] == KILLED
    assert codes[0] not in (0, KILLED)
    assert not has_all_parts(folder / "tears")
