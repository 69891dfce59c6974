"""The folder in which Ray Train keeps a run, mended where an attempt was killed while it wrote there.

Ray 2.60 overwrites the list of a run's checkpoints in place: half a list would end every later attempt.
"""

import json
import os
from pathlib import Path

from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME as LIST_FILE
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState, _TrainingResultState

from heliostat.errors import TrainingError
from jobs._progress import read_kept

CHECKPOINTS = "checkpoint_*/done.json"


def mend(run_dir: Path) -> None:
    """The next attempt goes on from the furthest checkpoint that is whole, whenever the last one was killed."""
    listed = run_dir / LIST_FILE
    if not listed.exists() or _is_whole(listed):
        return
    furthest = max((found for path in run_dir.glob(CHECKPOINTS) if (found := _reached(path.parent))), default=None)
    if furthest is None:
        listed.unlink()
        return
    mended = run_dir / f".{LIST_FILE}"
    mended.write_text(_list_of(furthest[-1]))
    os.replace(mended, listed)


def newest_checkpoint(run_dir: Path) -> str | None:
    """The name of the run's newest checkpoint that is whole; None while it has none, or the list is being written."""
    listed = run_dir / LIST_FILE
    if not listed.exists() or not _is_whole(listed):
        return None
    newest = json.loads(listed.read_text())["latest_checkpoint_result"]
    return None if newest is None else str(newest["checkpoint_dir_name"])


def _is_whole(listed: Path) -> bool:
    try:
        json.loads(listed.read_text())
    except ValueError:
        return False
    return True


def _reached(checkpoint: Path) -> tuple[int, int, int, str] | None:
    """Candidates that are done, epochs and batches of the next one, and the name; None for half a checkpoint."""
    try:
        done, state = read_kept(checkpoint)
    except (OSError, ValueError, TrainingError):
        return None
    under_way = (0, 0) if state is None else (state.num_epochs, state.num_steps)
    return len(done), *under_way, checkpoint.name


def _list_of(checkpoint_name: str) -> str:
    """Ray's list with this checkpoint alone."""
    only = _TrainingResultState(checkpoint_dir_name=checkpoint_name, metrics={})
    listed = _CheckpointManagerState(
        checkpoint_results=[only],
        checkpoint_report_indices=[0],
        latest_checkpoint_result=only,
        pending_training_results=[],
        pending_validation_specs=[],
        current_report_index=1,
        validated_checkpoint_dir_names=[],
        timed_out_validation_checkpoint_dir_names=[],
        failed_validation_checkpoint_dir_names=[],
    )
    return str(listed.json())
