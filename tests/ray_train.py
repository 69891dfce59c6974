"""What Ray Train gives a worker, on real files: checkpoints that outlast an attempt, and an end at any report."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import ray
import ray.train
import ray.train.torch
from ray.train import Checkpoint

from cluster import submit
from jobs import _progress, train


class Killed(BaseException):
    """The worker is gone."""


class Attempts:
    """One worker's attempts at one run; `die_after` ends the next attempt after so many reports."""

    def __init__(self, storage: Path, monkeypatch) -> None:
        self._storage, self._num_reports = storage, 0
        self.values: list[dict] = []
        self.die_after: int | None = None
        for name, replacement in (
            ("report", self._report),
            ("get_checkpoint", self._checkpoint),
            ("get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0)),
        ):
            monkeypatch.setattr(ray.train, name, replacement)
        monkeypatch.setattr(ray.train.torch, "get_device", lambda: "cpu")
        monkeypatch.setattr(_progress, "CHECKPOINT_EVERY_S", 0.0)

    def _report(self, values, checkpoint=None, **_):
        self._num_reports += 1
        shutil.move(checkpoint.path, self._storage / f"checkpoint-{self._num_reports:06d}")
        self.values.append(values)
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after == 0:
                self.die_after = None
                raise Killed

    def _checkpoint(self):
        stored = sorted(self._storage.glob("checkpoint-*"))
        return Checkpoint.from_directory(stored[-1]) if stored else None


class HereTrainer:
    """Ray Train, as far as the job touches it: the one worker runs in this process."""

    def __init__(self, work, *, train_loop_config, **_):
        self.work, self.config = work, train_loop_config

    def fit(self):
        return SimpleNamespace(return_value=self.work(self.config), metrics={"cpu_s": 1.5})


def train_here(monkeypatch) -> None:
    """A job of training does all in this process: no cluster, no package of the code."""
    monkeypatch.setattr(train, "RoomTrainer", HereTrainer)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(submit, "code_package", lambda: None)
    monkeypatch.setattr(submit, "code_revision", lambda _: "abc")
