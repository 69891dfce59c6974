"""What a run has done so far, kept as Ray Train checkpoints: where the next attempt goes on."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint, CheckpointUploadMode

from heliostat.errors import TrainingError
from heliostat.learn import parallel
from heliostat.learn.state import FitState
from jobs._attempts import Trace
from jobs._parts import DONE_FILE, PARTS_FILE, PartsWriter, has_all_parts

CHECKPOINT_EVERY_S = 1.0
SYNC, ASYNC = CheckpointUploadMode.SYNC, CheckpointUploadMode.ASYNC
CPU_S = "cpu_s"  # of all workers of an attempt so far, as reported with each candidate


def read_kept(directory: Path) -> tuple[dict[str, dict[str, Any]], FitState | None]:
    """The candidates that a checkpoint says are done, and the fit under way; OSError, ValueError or TrainingError."""
    done = json.loads((directory / DONE_FILE).read_text())
    state_file = directory / "fit.safetensors"
    if state_file.exists():
        return done, FitState.from_bytes(state_file.read_bytes())
    header = directory / PARTS_FILE
    if not header.exists():
        return done, None
    if not has_all_parts(directory):
        raise TrainingError(f"The checkpoint {directory} lacks parts; remove it, and the run goes on from another.")
    return done, FitState.of(json.loads(header.read_text()), {}, parts_dir=directory)


class Progress:
    """What a run has done so far, kept as a Ray Train checkpoint after every epoch and every candidate."""

    def __init__(self, done: dict[str, dict[str, Any]], state: FitState | None, trace: Trace) -> None:
        self.done, self.state, self.trace = done, state, trace
        self._kept_at_s = float("-inf")
        self._parts = PartsWriter()

    @classmethod
    def resumed(cls, trace: Trace) -> "Progress":
        """Where the last attempt of this run stopped; `trace` is that of the attempt that begins."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return cls({}, None, trace)
        with checkpoint.as_directory() as directory:
            done, state = read_kept(Path(directory))
        if state is not None and ray.train.get_context().get_world_rank() == 0:
            where = f"epoch {state.num_epochs} and {state.num_steps} batches"
            print(f"the fit goes on after {where if state.trees is None else f'round {state.num_epochs}'}", flush=True)
        return cls(done, state, trace)

    def keep(self, state: FitState) -> None:
        """Checkpoint the fit that is under way, while its next steps run; at most one at a time, and once a second."""
        if not state.num_steps and state.trees is None:
            _tell(state, unit="epoch")
        # Ray takes one report a poll interval: of quick epochs they would pile up, and wait for each other at the end.
        is_too_early = time.monotonic() - self._kept_at_s < CHECKPOINT_EVERY_S
        if parallel.first_says(is_too_early or self._parts.is_writing):
            return
        self._kept_at_s = time.monotonic()
        if state.trees is not None:  # a second may have many rounds
            _tell(state, unit="round")
        values: dict[str, float] = {"num_epochs": state.num_epochs, "num_steps": state.num_steps}
        if state.is_in_parts:
            self._report_parts(state, values)
        else:
            self._report(state, values, mode=ASYNC)

    def finish(self, candidate: str, result: dict[str, Any]) -> None:
        """Checkpoint that a candidate is written."""
        self.done[candidate] = result
        self.state = None
        self._report(None, {"num_candidates": len(self.done), CPU_S: parallel.total(time.process_time())}, mode=SYNC)

    def _report(self, state: FitState | None, values: dict[str, float], *, mode: CheckpointUploadMode) -> None:
        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            directory = Path(tempfile.mkdtemp(prefix="heliostat-checkpoint-"))
            (directory / DONE_FILE).write_text(json.dumps(self.done))
            if state is not None:
                (directory / "fit.safetensors").write_bytes(state.to_bytes())
            checkpoint = Checkpoint.from_directory(str(directory))
        ray.train.report(
            values,
            checkpoint=checkpoint,
            checkpoint_upload_mode=mode,
            delete_local_checkpoint_after_upload=True,
        )

    def _report_parts(self, state: FitState, values: dict[str, float]) -> None:
        empty = tempfile.mkdtemp(prefix="heliostat-checkpoint-")  # stands for what is written only now
        ray.train.report(
            values,
            checkpoint=Checkpoint.from_directory(empty),
            checkpoint_upload_mode=ASYNC,
            delete_local_checkpoint_after_upload=True,
            checkpoint_upload_fn=self._parts.taken(state, dict(self.done)),
        )


def _tell(state: FitState, *, unit: str) -> None:
    """A line of the first worker's for the job's log."""
    if ray.train.get_context().get_world_rank() == 0:
        scores = state.history[-1]
        print(f"  {unit} {state.num_epochs}: loss {scores.train_loss:.4f}, later rows {scores.validation_loss:.4f}")
