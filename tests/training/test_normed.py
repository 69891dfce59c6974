"""Running statistics of several workers: what one worker would have, not those of the first one's rows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("normed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.normed_rank"]
    ranks = [
        subprocess.Popen([*command, str(rank), str(made), str(num_ranks)], env=environment, cwd=ROOT)
        for rank, num_ranks in ((0, 2), (1, 2), (0, 1))
    ]
    assert [rank.wait(timeout=240) for rank in ranks] == [0, 0, 0]
    return made


def test_two_workers_with_batch_normalisation_answer_as_one(folder):
    first, second, alone = (load_file(folder / f"{name}.safetensors") for name in ("2-0", "2-1", "1-0"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.testing.assert_close(first["norm.running_mean"], alone["norm.running_mean"], atol=1e-3, rtol=0)
    torch.testing.assert_close(first["norm.running_var"], alone["norm.running_var"], atol=5e-3, rtol=0)
    torch.testing.assert_close(first["losses"], alone["losses"], atol=5e-3, rtol=0)


def test_buffers_are_weighed_by_rows_and_those_that_are_equal_stay_to_the_last_bit(folder):
    for rank in range(2):
        found = load_file(folder / f"buffers-{rank}.safetensors")
        assert found["running_mean"].tolist() == [1.75, 1.75]
        assert found["num_batches_tracked"] == 7
        assert found["mask"].tolist() == [0.0, -torch.inf]
        assert found["scale"].tolist() == [0.1, 1 / 3]
