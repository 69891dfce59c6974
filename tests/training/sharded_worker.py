"""One of two workers of a sharded run, with Ray Train's part played here: `... RANK FOLDER ATTEMPT DIES_AFTER`.

What is kept lies in the folder. The process ends at its report number DIES_AFTER, where that is not 0.
"""

import json
import os
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow.fs
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from ray.train import Checkpoint

from jobs import _progress
from jobs._fitting import fit_candidates
from jobs._parts import PARTS_FILE, has_all_parts

KILLED = 9


class Kept:
    """Checkpoints as Ray Train keeps them: uploads in one thread, each under a name that all workers know."""

    def __init__(self, folder: Path, *, dies_after: int) -> None:
        self.folder, self._dies_after = folder, dies_after
        self._num_before = len(list(folder.glob("checkpoint_*")))
        self._num_reports, self._uploads = 0, ThreadPoolExecutor(1)
        self.uploaded: list[Future] = []

    def report(self, _, checkpoint=None, checkpoint_upload_fn=None, **__) -> None:
        self._num_reports += 1
        if self._num_reports == self._dies_after:
            self.wait()
            os._exit(KILLED)
        name = f"checkpoint_{self._num_before + self._num_reports:06d}"
        if checkpoint_upload_fn is not None:
            self.uploaded.append(self._uploads.submit(checkpoint_upload_fn, checkpoint, name))
        elif checkpoint is not None:
            self.wait()
            shutil.move(checkpoint.path, self.folder / name)

    def wait(self) -> None:
        for each in self.uploaded:
            each.result()

    def newest(self) -> Checkpoint | None:
        found = [path for path in sorted(self.folder.glob("checkpoint_*")) if _is_whole(path)]
        return Checkpoint.from_directory(str(found[-1])) if found else None


def _is_whole(path: Path) -> bool:
    return (path / "done.json").exists() and (has_all_parts(path) or not (path / PARTS_FILE).exists())


def main(rank: int, folder: Path, attempt: str, dies_after: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{attempt}", rank=rank, world_size=2)
    kept = Kept(folder / "kept", dies_after=dies_after)
    dist.barrier()  # both have seen what there was before
    storage = SimpleNamespace(
        build_checkpoint_path_from_name=lambda name: str(kept.folder / name),
        storage_filesystem=pyarrow.fs.LocalFileSystem(),
    )
    context = SimpleNamespace(get_world_rank=lambda: rank, get_storage=lambda: storage)
    ray.train.report, ray.train.get_checkpoint, ray.train.get_context = kept.report, kept.newest, lambda: context
    ray.train.torch.get_device = lambda: "cpu"
    _progress.CHECKPOINT_EVERY_S = 0.0
    given = json.loads((folder / "run.json").read_text())
    fitted = fit_candidates({**given, "as_of": datetime.fromisoformat(given["as_of"])})
    kept.wait()
    found = {"bundles": [each["bundle_hash"] for each in fitted], "num_in_parts": len(kept.uploaded)}
    (folder / f"found-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
