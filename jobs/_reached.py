"""How far a long job has come, in a small file that who sits at a terminal reads; a job's log gets lines, no file.

It goes around the log because that keeps what it is told: a step a line would fill it.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

EVENTS_DIR = "tensorboard"  # of a home's runs: a folder for each run that is watched
EVERY_S = 0.5
FILE = "reached.json"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What is under way, for which workload, how much of it is done, and more about it in words."""

    workload: str
    name: str
    num_done: int
    num_all: int
    words: str = ""


class ReachedFile:
    """Tells one job's state, at most twice a second; readers see one state or the next, never half of one."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._told_at_s = float("-inf")

    def is_due(self) -> bool:
        """Whether it is worth saying more."""
        return time.monotonic() - self._told_at_s >= EVERY_S

    def tell(self, reached: Reached) -> None:
        """It stands so now."""
        self._told_at_s = time.monotonic()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps(asdict(reached)))
        os.replace(written, self._path)

    def end(self) -> None:
        """Nothing is under way any more."""
        self._path.unlink(missing_ok=True)


def newest(root: Path, workload: str, *, since_s: float) -> Reached | None:
    """What the job of a workload told last that has told most recently, if since then; `root` has a folder a job."""
    found = sorted((each for path in root.glob(f"*/{FILE}") if (each := _told(path))), key=lambda each: -each[0])
    of_workload = (reached for told_at_s, reached in found if told_at_s >= since_s and reached.workload == workload)
    return next(of_workload, None)


def _told(path: Path) -> tuple[float, Reached] | None:
    try:
        with path.open() as file:
            return os.fstat(file.fileno()).st_mtime, Reached(**json.loads(file.read()))
    except FileNotFoundError:
        return None  # it has just ended
