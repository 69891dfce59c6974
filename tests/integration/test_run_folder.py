"""What Ray Train finds in a run's folder after the run was killed while something was written there."""

import json
from dataclasses import asdict, replace

import pytest
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
    CheckpointManager,
    CheckpointManagerInitializationError,
)
from ray.train.v2._internal.execution.storage import StorageContext
from ray.train.v2.api.config import CheckpointConfig

from jobs._fitting import fit_candidates
from jobs._progress import read_kept
from jobs._run_folder import LIST_FILE, mend, newest_checkpoint
from tests.ray_train import Attempts


@pytest.fixture
def run_dir(tmp_path, first_run, monkeypatch):
    """A run's checkpoints, all that were ever kept, and the half of their list."""
    folder = tmp_path / "killed"
    folder.mkdir()
    Attempts(folder, monkeypatch)
    fit_candidates(asdict(replace(first_run.run, run_id="killed")))
    for path in folder.glob("checkpoint-*"):
        path.rename(folder / path.name.replace("-", "_"))
    (folder / LIST_FILE).write_text('{"ray_version": "2.60.0", "checkpoint_resul')
    return folder


def found_by_ray(run_dir):
    storage = StorageContext(storage_path=str(run_dir.parent), experiment_dir_name=run_dir.name)
    return CheckpointManager(CheckpointConfig(num_to_keep=1), storage).latest_checkpoint_result


def test_half_a_list_of_checkpoints_would_end_every_attempt_and_is_mended_to_the_furthest_that_is_whole(run_dir):
    with pytest.raises(CheckpointManagerInitializationError):
        found_by_ray(run_dir)
    *_, before_last, last = sorted(run_dir.glob("checkpoint_0*"))
    (last / "done.json").write_text((last / "done.json").read_text()[:-20])
    mend(run_dir)
    assert found_by_ray(run_dir).checkpoint.path == str(before_last)


def test_a_checkpoint_of_which_only_the_first_file_was_written_counts_as_less_far(run_dir):
    under_way = [path for path in sorted(run_dir.glob("checkpoint_0*")) if (path / "fit.safetensors").exists()]
    furthest = max(under_way, key=lambda path: (len(read_kept(path)[0]), read_kept(path)[1].num_epochs))
    for path in run_dir.glob("checkpoint_0*"):
        if path.name > furthest.name:
            (path / "done.json").unlink()
    later = run_dir / "checkpoint_999999"
    later.mkdir()
    (later / "done.json").write_text((furthest / "done.json").read_text())
    mend(run_dir)
    assert found_by_ray(run_dir).checkpoint.path == str(furthest)


def test_without_a_whole_checkpoint_a_run_begins_anew(run_dir):
    for path in run_dir.glob("checkpoint_0*"):
        (path / "done.json").write_text("{")
    mend(run_dir)
    assert found_by_ray(run_dir) is None


def test_a_whole_list_and_a_run_that_never_began_are_left_alone(run_dir, tmp_path):
    told = json.dumps({"ray_version": "2.60.0"})
    (run_dir / LIST_FILE).write_text(told)
    mend(run_dir)
    assert (run_dir / LIST_FILE).read_text() == told
    mend(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_the_newest_checkpoint_is_told_where_the_list_of_them_is_whole(run_dir, tmp_path):
    assert newest_checkpoint(run_dir) is None  # half a list
    mend(run_dir)
    assert newest_checkpoint(run_dir) == max(path.name for path in run_dir.glob("checkpoint_0*"))
    assert newest_checkpoint(tmp_path / "nothing") is None
