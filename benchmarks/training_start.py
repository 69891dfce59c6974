"""What a run of Ray Train costs in CPU-seconds, by kind of process, when there is nearly nothing to learn."""

import os
import threading
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import ray

from cluster.environment import performance_environment
from heliostat.store.lake import Lake
from heliostat.workload import load
from jobs._fitting import FitRun
from jobs.train import fitted_by, trainer
from tests.toy_lake import ingest

MODULE = "tests.toy_quick"
NUM_WORKERS = 2
AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
TICKS_A_S = os.sysconf("SC_CLK_TCK")
EVERY_S = 0.2
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's way to say "no cluster of several hosts"


def start_cost() -> dict[str, object]:
    """The CPU-seconds of a run with two workers and four fits of a few rows; Ray itself is up before."""
    os.environ.update({**performance_environment(), "RAY_AUTH_MODE": "disabled", **LOOPBACK})
    with TemporaryDirectory() as folder:
        lake = Lake(f"{folder}/lake")
        ingest(lake, until=AS_OF)
        ray.init("local", num_cpus=NUM_WORKERS, include_dashboard=False, log_to_driver=False)
        time.sleep(10)  # Ray's own idle workers have started
        run = FitRun(
            run_id="start",
            module=MODULE,
            lake_uri=lake.uri,
            bundles_uri=f"{folder}/bundles",
            as_of=AS_OF,
            onset_at=None,
            code_revision="benchmark",
            tables={"raw": lake.version("toy", "raw"), "predictions": None, "labels": None},
        )
        training = replace(load(MODULE).training, num_workers=NUM_WORKERS)
        watch = Watch()
        started_s = time.monotonic()
        runs_dir = f"{folder}/runs"
        made = trainer(run, training, runs_dir=runs_dir, num_gpus=0)
        fitted, workers_cpu_s = fitted_by(made, run_id=run.run_id, runs_dir=runs_dir)
        seconds = time.monotonic() - started_s
        by_kind = watch.ended()
        ray.shutdown()
    return {
        "workers": NUM_WORKERS,
        "fits": len(fitted),
        "seconds": round(seconds, 1),
        "cpu_s": round(sum(by_kind.values()), 1),
        "of_workers_cpu_s": round(workers_cpu_s, 1),
        "by_kind_cpu_s": {name: round(value, 1) for name, value in by_kind.items() if value >= 0.1},
    }


class Watch:
    """Looks at all descendants of this process again and again, because what one used is gone with it."""

    def __init__(self) -> None:
        self._first = {pid: used for pid, (_, used) in _descendants().items()}
        self._seen: dict[int, tuple[str, float]] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._is_over.wait(EVERY_S):
            for pid, (kind, used) in _descendants().items():
                # One that has just ended has no command line any more.
                self._seen[pid] = kind or self._seen.get(pid, ("", 0.0))[0], used

    def ended(self) -> dict[str, float]:
        """CPU-seconds since the beginning, by kind, the largest first."""
        self._is_over.set()
        self._thread.join()
        total: dict[str, float] = defaultdict(float)
        for pid, (kind, used) in self._seen.items():
            total[kind] += used - self._first.get(pid, 0.0)
        return dict(sorted(total.items(), key=lambda each: -each[1]))


def _descendants() -> dict[int, tuple[str, float]]:
    """Kind and CPU-seconds of this process and all below it."""
    found: dict[int, tuple[int, str, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue  # it has ended meanwhile
            found[int(entry.name)] = int(fields[1]), command, (int(fields[11]) + int(fields[12])) / TICKS_A_S
    below = {os.getpid()}
    while more := {pid for pid, (parent, *_) in found.items() if parent in below} - below:
        below |= more
    return {pid: (_kind(found[pid][1]), found[pid][2]) for pid in below if pid in found}


def _kind(command: str) -> str:
    first = command.split(maxsplit=1)[0] if command else ""
    return first if first.startswith("ray::") else "driver" if "benchmarks" in command else first.rpartition("/")[2]
