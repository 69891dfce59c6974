"""Rows that go through Ray Data to workers of Ray Train: the network that one process fits, also after a kill."""

import os
import signal
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from safetensors.torch import load

from heliostat.store.bundles import read_bundle
from heliostat.workload import load as load_workload
from jobs import _staging
from jobs._fitting import fit_candidates
from tests import toy_long
from tests.ray_train import Attempts

INTERVAL_STEPS = 10 + int(1.0 / toy_long.STEP_S)  # those between checkpoints, or of the second that they wait


def weights_of(fitted):
    return load(read_bundle(fitted["bundle_uri"], fitted["bundle_hash"])["weights.safetensors"])


@pytest.fixture
def in_one_process(nodes, tmp_path, monkeypatch):
    """Fits a workload in this process, which reads its rows itself."""

    def fitted(module):
        monkeypatch.setenv(toy_long.NOTES_DIR, str(nodes.notes_dir))
        monkeypatch.setattr(toy_long, "STEP_S", 0.0)
        run = replace(nodes.first.run, run_id="here", module=module, rows_dir=str(tmp_path / "rows"))
        _staging.stage(run, load_workload(module), spread=_staging.here)
        Attempts(tmp_path / "checkpoints", monkeypatch)
        return fit_candidates(asdict(run))

    return fitted


@pytest.mark.ray
def test_two_workers_with_shards_of_ray_data_fit_the_network_that_one_process_fits(nodes, in_one_process):
    nodes.have(2)  # Workers take every CPU: what reads their rows needs none.
    shared = nodes.result("shards", nodes.start("shards", "tests.toy_stream"))
    alone = in_one_process("tests.toy_stream")
    assert [each["candidate"] for each in shared] == [each["candidate"] for each in alone]
    for ours, other in zip(shared, alone, strict=True):
        assert ours["scores"] == pytest.approx(other["scores"], abs=1e-3)
        for name, tensor in weights_of(ours).items():
            np.testing.assert_allclose(tensor.numpy(), weights_of(other)[name].numpy(), atol=1e-3)


@pytest.mark.ray
def test_a_streamed_fit_killed_inside_an_epoch_goes_on_there_with_the_same_weights(nodes, in_one_process):
    nodes.have(1)
    nodes.forget()
    driver = nodes.start("shards-killed", "tests.toy_stream_long")
    first = nodes.next_step(after=0, alive=driver, timeout_s=200.0)
    nodes.after_steps(140, of=first.pid, timeout_s=120.0)
    os.kill(first.pid, signal.SIGKILL)
    fitted = nodes.result("shards-killed", driver)
    noted = Counter(note.pid for note in nodes.notes())
    nodes.forget()
    alone = in_one_process("tests.toy_stream_long")
    for ours, other in zip(fitted, alone, strict=True):
        for name, tensor in weights_of(ours).items():
            assert (tensor == weights_of(other)[name]).all()
    # Only what came after the last checkpoint is done again: no epoch is begun anew.
    assert len(noted) == 2
    assert 0 <= noted.total() - len(nodes.notes()) <= 2 * INTERVAL_STEPS
