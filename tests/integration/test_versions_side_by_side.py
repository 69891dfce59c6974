"""A version is its own code: another network and encoding beside it, or its file edited on disk, change nothing."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.integration.predictor_fixture import OTHER_ENCODING, ROW, make_bundle, record, run, serving
from tests.toy import workload

ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 5 * number} for number in range(20)]
OTHER_NETWORK = (
    "nn.Linear(7, 16), nn.SiLU(), nn.Linear(16, 1)",
    "nn.Linear(7, 24), nn.Tanh(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 1)",
)


class Disk:
    """The one file that the engineer edits, and the bundles made from it as it was at the time."""

    def __init__(self, path: Path) -> None:
        self.home, self.file = path, path / "toy_edited.py"

    def bundle(self, *changes, seed):
        source = Path(importlib.import_module("tests.toy").__file__).read_text()
        for before, after in changes:
            assert before in source
            source = source.replace(before, after)
        self.file.write_text(source)
        sys.modules.pop("toy_edited", None)
        importlib.invalidate_caches()
        return make_bundle(self.home, "toy_edited", seed=seed)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    made = Disk(tmp_path_factory.mktemp("edited"))
    sys.path.insert(0, str(made.home))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    yield made
    sys.dont_write_bytecode = before
    sys.path.remove(str(made.home))
    sys.modules.pop("toy_edited", None)


@pytest.fixture(scope="module")
def bundles(disk):
    return {1: disk.bundle(seed=1), 2: disk.bundle(OTHER_ENCODING, OTHER_NETWORK, seed=2)}


async def answers(served):
    return np.array((await served.predict(*ROWS))["predictions"])


async def answers_of(bundles, home, number):
    """What a version answers when it is alone in a process of its own."""
    async with serving(workload, home, record(bundles, champion=number)) as served:
        return await answers(served)


def test_champion_and_candidate_with_different_networks_and_encodings_answer_in_one_process(bundles, tmp_path):
    async def scenario():
        alone = {number: await answers_of(bundles, tmp_path / str(number), number) for number in bundles}
        assert not np.allclose(alone[1], alone[2], atol=0.01)
        for share, expected in ((0.0, alone[1]), (1.0, alone[2])):
            async with serving(workload, tmp_path / "both", record(bundles, candidate=2, share=share)) as served:
                assert np.allclose(await answers(served), expected, atol=1e-6)
                held = served.predictor.live.version_by_number
                assert sorted(held) == [1, 2]

    run(scenario)


def test_a_rollback_means_the_old_code_though_the_file_on_disk_was_edited(disk, bundles, tmp_path):
    async def scenario():
        before = await answers_of(bundles, tmp_path / "before", 1)
        disk.file.write_text("raise RuntimeError('this is not what was trained')")
        try:
            async with serving(workload, tmp_path / "after", record(bundles, champion=2)) as served:
                promoted = await answers(served)
                await served.predictor.reconfigure(record(bundles, epoch=2, champion=1, previous=2))
                assert served.predictor.status()["last_error"] is None
                assert np.array_equal(await answers(served), before)
                assert not np.allclose(promoted, before, atol=0.01)
        finally:
            disk.file.unlink()

    run(scenario)
