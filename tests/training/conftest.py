"""The cluster of tests/cluster, and one of several nodes, for tests of training that take minutes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from cluster.environment import performance_environment
from cluster.processes import cluster_pids, command_of
from jobs._fitting import fit_candidates
from tests import toy_long
from tests.cluster.conftest import Installation, installation, wait_until
from tests.integration.conftest import FirstRun, first_run
from tests.ray_train import Attempts

__all__ = ["alone", "first_run", "installation", "nodes", "wait_until"]

ROOT = Path(__file__).resolve().parents[2]
RAY_SETTINGS = {
    **performance_environment(),
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on 127.0.0.1
}


def driver_pid(installation: Installation, verb: str) -> int:
    """The process of the job of that kind that runs."""
    found = [pid for pid in cluster_pids(installation.settings.home) if f"-m jobs.{verb}" in command_of(pid)]
    assert found, "the driver runs"
    return max(found)


@pytest.fixture(scope="session")
def ready(installation: Installation) -> Installation:
    """The toy whose settings are searched, deployed and with its rows."""
    installation.run("deploy", "tests.toy_tuned", "--clock", "replayed")
    installation.run("ingest", "tests.toy_tuned", "--until", "2024-03-01")
    return installation


@dataclass(frozen=True)
class Note:
    """One step: which process took it, when, and of which batch."""

    pid: int
    at_s: float
    batch: str


def _parent(path: Path) -> int:
    """The process that started this one; 0 once it is gone."""
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[1])


@dataclass
class Nodes:
    """A head without CPUs, and nodes of one CPU each; runs on them, each a driver process of its own."""

    home: Path
    first: FirstRun
    _keeper: subprocess.Popen = field(init=False)
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.notes_dir = self.home / "notes"
        self.notes_dir.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            **RAY_SETTINGS,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            toy_long.NOTES_DIR: str(self.notes_dir),
        }
        command = [sys.executable, "-m", "tests.training.nodes"]
        with (self.home / "nodes.log").open("w") as log:
            self._keeper = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self.address = self._answer()["address"]

    def _answer(self) -> dict:
        while line := self._keeper.stdout.readline():
            if line.startswith(b"{"):
                return json.loads(line)
        raise AssertionError((self.home / "nodes.log").read_text()[-3000:])

    def tell(self, word: str) -> dict:
        """What to do: "add" a node, or "lose" the oldest as by a power cut."""
        self._keeper.stdin.write(f"{word}\n".encode())
        self._keeper.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """All processes are gone."""
        self._keeper.stdin.write(b"stop\n")
        self._keeper.stdin.close()
        assert self._keeper.wait(timeout=60) == 0

    def have(self, num_nodes: int) -> None:
        """So many nodes of one CPU, whatever was lost or added before."""
        while self.tell("count")["num_nodes"] < num_nodes:
            self.tell("add")
        while self.tell("count")["num_nodes"] > num_nodes:
            self.tell("lose")

    def process(self, title: str) -> int:
        """The one process of this cluster whose title begins so."""
        parents = {int(path.parent.name): _parent(path) for path in Path("/proc").glob("[0-9]*/stat")}
        below = {self._keeper.pid}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        [found] = [pid for pid in below if command_of(pid).startswith(title)]
        return found

    def start(self, run_id: str, module: str) -> subprocess.Popen:
        """The driver of a run; the same name again goes on with it."""
        run = replace(self.first.run, run_id=run_id, module=module)
        given = json.dumps({**asdict(run), "as_of": run.as_of.isoformat()})
        log = (self.home / f"{run_id}.log").open("a")
        return subprocess.Popen(
            [sys.executable, "-m", "tests.training.driver", given, str(self.home / "runs")],
            cwd=ROOT,
            env={**self.environment, "RAY_ADDRESS": self.address},
            stdout=log,
            stderr=log,
        )

    def result(self, run_id: str, driver: subprocess.Popen, *, timeout_s: float = 280.0) -> list[dict]:
        """What a run gave."""
        code = driver.wait(timeout=timeout_s)
        assert code == 0, self.log(run_id)[-4000:]
        return json.loads([line for line in self.log(run_id).splitlines() if line.startswith("[{")][-1])

    def log(self, run_id: str) -> str:
        """All that the drivers of a run said."""
        return (self.home / f"{run_id}.log").read_text()

    def notes(self) -> list[Note]:
        """The steps since they were last forgotten."""
        steps = self.notes_dir / "steps"
        lines = steps.read_text().splitlines() if steps.exists() else []
        return [Note(int(pid), float(at_s), batch) for pid, at_s, batch in map(str.split, lines)]

    def forget(self) -> None:
        """Begin a new list of steps."""
        (self.notes_dir / "steps").unlink(missing_ok=True)

    def next_step(self, *, after: int, alive: subprocess.Popen, timeout_s: float = 90.0) -> Note:
        """The first step that a process takes that did none of those before; ChildProcessError when the driver ends."""
        deadline = time.monotonic() + timeout_s
        known = {note.pid for note in self.notes()[:after]}
        while time.monotonic() < deadline:
            new = [note for note in self.notes()[after:] if note.pid not in known]
            if new:
                return new[0]
            if alive.poll() is not None:
                raise ChildProcessError(f"the driver ended with {alive.returncode}")
            time.sleep(0.1)
        raise AssertionError(f"no new process took a step within {timeout_s} s")

    def after_steps(self, num_steps: int, *, of: int, timeout_s: float = 60.0) -> None:
        """Waits until a process has taken so many steps."""
        deadline = time.monotonic() + timeout_s
        while sum(note.pid == of for note in self.notes()) < num_steps:
            assert time.monotonic() < deadline, f"process {of} took fewer than {num_steps} steps in {timeout_s} s"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory, first_run: FirstRun) -> Iterator[Nodes]:
    """A cluster of nodes that is gone when the tests are over."""
    made = Nodes(tmp_path_factory.mktemp("nodes"), first_run)
    try:
        yield made
    finally:
        made.stop()


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: its result, and where in it each batch was learned from (a few twice)."""

    fitted: list[dict]
    places: dict[str, list[int]]

    def done_again(self, notes: list[Note]) -> list[int]:
        """How many steps each process but the first did that one before it had done; none leaves a gap."""
        found, reached = [], -1
        for pid in dict.fromkeys(note.pid for note in notes):
            batches = [note.batch for note in notes if note.pid == pid]
            first = self._place(batches)
            found.append(reached + 1 - first)
            reached = first + len(batches) - 1
        assert min(found) >= 0
        return found[1:]

    def _place(self, batches: list[str]) -> int:
        for first in self.places[batches[0]]:
            if all(first + number in self.places[batch] for number, batch in enumerate(batches)):
                return first
        raise AssertionError(f"these {len(batches)} batches do not follow each other in the run that nobody disturbed")


@pytest.fixture(scope="session")
def alone(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The long toy, fitted in this process."""
    with pytest.MonkeyPatch.context() as patch:
        Attempts(tmp_path_factory.mktemp("alone"), patch)
        patch.setenv(toy_long.NOTES_DIR, str(nodes.notes_dir))
        patch.setattr(toy_long, "STEP_S", 0.0)
        fitted = fit_candidates(asdict(replace(nodes.first.run, run_id="alone", module="tests.toy_long")))
    places: dict[str, list[int]] = {}
    for place, note in enumerate(nodes.notes()):
        places.setdefault(note.batch, []).append(place)
    return Undisturbed(fitted, places)
