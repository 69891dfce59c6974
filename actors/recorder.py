"""Moves acknowledged predictions and labels, and what other versions said, from segments into the lake.

Reads:  write-ahead segments of this node
Writes: lake: predictions, shadows, labels
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.resources import BATCH_NICENESS
from heliostat.columns import Column
from heliostat.errors import LakeError
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.store.segments import SUFFIX
from heliostat.tasks import BINARY, Task

logger = logging.getLogger(__name__)
# A commit is a file and a log entry, and costs a tenth of a second of CPU however few its rows are: not too many of
# them, and fewer when they take long, so that under load the cores answer. Whoever needs the rows now calls `drain`.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0
BUSY_SHARE = 0.05


class Recorder:
    """The one committer of a workload's segments on this node."""

    def __init__(
        self,
        workload: str,
        *,
        columns: Sequence[Column],
        task: Task = BINARY,
        lake_uri: str,
        directory: Path,
        stream: str,
    ) -> None:
        self._directory = directory / workload
        self._committer = SegmentCommitter(
            Lake(lake_uri), workload, directory=self._directory, stream=stream, columns=columns, task=task
        )
        self._stepping = threading.Lock()
        self._last_error: str | None = None
        self._num_duplicates = 0
        threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def drain(self, timeout_s: float = 50.0) -> None:
        """Return when every row that was acknowledged before this call is in the lake; LakeError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        waiting = self._waiting()
        while waiting := waiting & self._waiting():
            if time.monotonic() > deadline:
                raise LakeError(
                    f"{len(waiting)} segments in {self._directory} are not in the lake after {timeout_s:.0f} s; "
                    f"last error: {self._last_error}. They are kept; see the recorder's log."
                )
            try:
                self.step()
            except LakeError as error:
                self._last_error = str(error)  # said when the time is over; until then it may pass
            time.sleep(0.02)

    def step(self) -> None:
        """Commit what is sealed now."""
        with self._stepping:
            self._num_duplicates += self._committer.step().num_duplicates

    def status(self) -> dict[str, object]:
        """Segments that wait, copies dropped since the start, and the last error if the last try failed."""
        return {
            "segments_waiting": len(self._waiting()),
            "num_duplicates": self._num_duplicates,
            "last_error": self._last_error,
        }

    def _waiting(self) -> set[Path]:
        """Every segment there is: a writer opens one only to append to it. A hidden one holds nothing answered."""
        return set(self._directory.glob(f"[!.]*{SUFFIX}"))

    def _run(self) -> None:
        # Of this thread, and those that it starts. Where cores are few, answers come first: a commit takes a core for
        # a third of a second under load, and requests would queue for as long.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BATCH_NICENESS)
        while True:
            started_s = time.monotonic()
            try:
                self.step()
                self._last_error = None
            # The outer edge of a background thread: a full disk or a lost store must not end it. Nothing is lost
            # while it fails, because segments are removed only after their commit.
            except Exception as error:
                self._last_error = f"{type(error).__name__}: {error}"
                logger.exception("Segments could not be committed; trying again.")
            time.sleep(pause_s(time.monotonic() - started_s))


def pause_s(step_s: float) -> float:
    """How long to rest after a step that took so long."""
    return min(max(SHORTEST_PAUSE_S, step_s / BUSY_SHARE), LONGEST_PAUSE_S)
