"""Processes of a fit that end in every way a user's code can end them, and what is told of them."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import WorkerGroupError

from jobs._attempts import attempts_in
from jobs._giving_up import given_up
from tests import toy_faulty

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ended(first_run, tmp_path):
    """Runs the faulty toy in so many processes: (exit code, last line) of each."""

    def run(word, *, num_ranks):
        (tmp_path / toy_faulty.FILE).write_text(word)
        (tmp_path / "meet").unlink(missing_ok=True)
        (tmp_path / "attempts").mkdir(exist_ok=True)
        run = replace(
            first_run.run,
            run_id="ended",
            module="tests.toy_faulty",
            bundles_uri=str(tmp_path / "bundles"),
            attempts_dir=str(tmp_path / "attempts"),
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), toy_faulty.NOTES_DIR: str(tmp_path)}
        command = [sys.executable, "-m", "tests.training.faulty_rank", json.dumps(asdict(run), default=str)]
        ranks = [
            subprocess.Popen(
                [*command, str(tmp_path), str(rank), str(num_ranks)],
                cwd=ROOT,
                env={**environment, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(num_ranks)
        ]
        said = [(rank.communicate(timeout=240)[0].splitlines() or [""])[-1] for rank in ranks]
        return [(rank.returncode, line) for rank, line in zip(ranks, said, strict=True)]

    return run


def test_a_lack_of_memory_on_one_of_two_workers_ends_both(ended):
    (code, other), (own_code, said) = ended("memory@1", num_ranks=2)
    assert (code, own_code) == (7, 7)
    assert said.startswith("TrainingError: encode failed with MemoryError: Unable to allocate 9.00 TiB (tests/toy_faul")
    assert "does not suffice for" in said
    assert "lower Training(batch_size=128)" in said
    assert other.startswith("RuntimeError"), "told by the connection, and no fault of its own"


def test_a_process_that_ends_at_one_place_again_and_again_is_told_with_the_place(ended, tmp_path):
    for num_times, times in ((1, "once"), (2, "2 times in a row")):
        assert ended("end", num_ranks=1) == [(3, "")]
        gone = WorkerGroupError("gone", {0: WorkerHealthCheckFailedError("gone", RayActorError())})
        attempts = attempts_in(tmp_path / "attempts")
        assert len(attempts) == num_times
        assert f"its worker's process ended {times} in encode (tests/toy_faulty.py, line " in given_up(
            "ended", gone, attempts
        )
