"""A whole sharded run of two workers that end at a report, and of those that go on with it."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

from tests.training.conftest import ROOT
from tests.training.sharded_worker import KILLED


def attempt(folder, first_run, name: str, *, dies_after: int = 0) -> list[int]:
    """The exit codes of both workers."""
    (folder / "kept").mkdir(parents=True, exist_ok=True)
    run = replace(first_run.run, run_id="sharded", module="tests.toy_sharded", bundles_uri=str(folder / "bundles"))
    (folder / "run.json").write_text(json.dumps({**asdict(run), "as_of": run.as_of.isoformat()}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.sharded_worker"]
    workers = [
        subprocess.Popen([*command, str(rank), str(folder), name, str(dies_after)], cwd=ROOT, env=environment)
        for rank in range(2)
    ]
    return [worker.wait(timeout=200) for worker in workers]


def test_a_sharded_run_that_is_ended_in_both_of_its_fits_gives_the_bundles_of_one_that_was_left_alone(
    first_run, tmp_path
):
    assert attempt(tmp_path / "alone", first_run, "whole") == [0, 0]
    ended = tmp_path / "ended"
    assert attempt(ended, first_run, "first", dies_after=4) == [KILLED, KILLED]
    assert attempt(ended, first_run, "second", dies_after=9) == [KILLED, KILLED]
    assert attempt(ended, first_run, "third") == [0, 0]
    found = [json.loads((ended / f"found-{rank}.json").read_text()) for rank in range(2)]
    alone = [json.loads((tmp_path / "alone" / f"found-{rank}.json").read_text()) for rank in range(2)]
    assert len(found[0]["bundles"]) == 2
    assert found[0]["bundles"] == found[1]["bundles"] == alone[0]["bundles"] == alone[1]["bundles"]
    assert 0 < found[0]["num_in_parts"] < alone[0]["num_in_parts"]
