"""The cluster of tests/cluster, and one of several nodes, for tests of training that take minutes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from cluster.environment import performance_environment
from tests.cluster.conftest import installation, wait_until
from tests.integration.conftest import FirstRun, first_run

__all__ = ["first_run", "installation", "nodes", "wait_until"]

ROOT = Path(__file__).resolve().parents[2]
RAY_SETTINGS = {
    **performance_environment(),
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on 127.0.0.1
}


@dataclass
class Nodes:
    """A head without CPUs, and nodes of one CPU each; runs on them, each a driver process of its own."""

    home: Path
    first: FirstRun
    _keeper: subprocess.Popen = field(init=False)
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            **RAY_SETTINGS,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
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


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory, first_run: FirstRun) -> Iterator[Nodes]:
    """A cluster of nodes that is gone when the tests are over."""
    made = Nodes(tmp_path_factory.mktemp("nodes"), first_run)
    try:
        yield made
    finally:
        made.stop()
