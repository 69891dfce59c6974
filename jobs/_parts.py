"""Checkpoints in parts of a Ray Train run: all workers write beside each other into the run's folder, while it goes on.

What is kept under a name is whole or not there, whichever worker is lost when: the list of all parts is written last,
and no worker reports a checkpoint before it is.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import torch.distributed as dist
from ray.train import Checkpoint

from heliostat.learn.state import FitState

PARTS_FILE = "fit.json"  # all of a fit but its tensors
LIST_FILE = ".metadata"  # of torch.distributed.checkpoint: which part lies where
DONE_FILE = "done.json"


def has_all_parts(directory: Path) -> bool:
    """Whether every worker's parts lie there."""
    return (directory / LIST_FILE).exists()


class PartsWriter:
    """One worker's parts of one checkpoint after the other, written in the thread in which Ray uploads.

    Workers meet there in a group of their own, so that they do not get between the gradients.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        self._last: PartsUpload | None = None

    @property
    def is_writing(self) -> bool:
        """Whether the last one is not written yet."""
        return self._last is not None and not self._last.is_written

    def taken(self, state: FitState, done: Mapping[str, Any]) -> "PartsUpload":
        """What Ray is to call for this checkpoint; all workers must take the same."""
        if self._group is None:
            self._group = dist.new_group(backend="gloo")
        self._last = PartsUpload(state, done, self._group)
        return self._last


class PartsUpload:
    """One worker's parts of one checkpoint."""

    def __init__(self, state: FitState, done: Mapping[str, Any], group: dist.ProcessGroup) -> None:
        self._state: FitState | None = state
        self._done, self._group = done, group

    @property
    def is_written(self) -> bool:
        """Whether it is, or could not be."""
        return self._state is None

    def __call__(self, _: Checkpoint, name: str) -> Checkpoint:
        """All parts are in the run's folder under that name; asked by Ray, on every worker."""
        from heliostat.learn import parts  # a second to import, and few networks need it

        assert self._state is not None
        context: Any = ray.train.get_context()
        storage = context.get_storage()
        directory = Path(storage.build_checkpoint_path_from_name(name))
        directory.mkdir(parents=True, exist_ok=True)
        try:
            if context.get_world_rank() == 0:
                (directory / PARTS_FILE).write_text(json.dumps(self._state.header()))
                (directory / DONE_FILE).write_text(json.dumps(self._done))
            parts.write(self._state, directory, group=self._group)
        finally:
            self._state = None  # a copy of this worker's parts
        return Checkpoint(path=str(directory), filesystem=storage.storage_filesystem)
