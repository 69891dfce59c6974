"""One real cluster for all tests of this folder, on its own ports and in its own directory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import local, submit
from cluster.processes import cluster_pids, command_of
from heliostat.settings import Settings

BASE_PORT = 26000
ROOT = Path(__file__).resolve().parents[2]


class Installation:
    """A running cluster, and jobs on it as a user would submit them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._num_jobs = 0
        self._up: set[str] = set()

    def start_job(self, verb: str, module: str, *options: str) -> str:
        """The id of a submitted job."""
        self._num_jobs += 1
        return submit.submit(
            self.settings,
            f"jobs.{verb}",
            arguments=[module, *options],
            submission_id=f"test-{self._num_jobs}-{verb}",
            tags=submit.JobTags(job_class=verb, workload=module),
            working_dir=ROOT,
        )

    def result(self, submission_id: str, *, timeout_s: float = 420.0) -> dict:
        """The last line of a job that succeeded, as the JSON that it is."""
        state = submit.wait(self.settings, submission_id, timeout_s=timeout_s)
        text = submit.logs(self.settings, submission_id)
        assert state.status == submit.SUCCEEDED, text[-6000:]
        return submit.result(text)

    def run(self, verb: str, module: str, *options: str) -> dict:
        """A job from start to end."""
        return self.result(self.start_job(verb, module, *options))

    def bring_up(self, module: str, *, since: str) -> None:
        """Everything up to a first champion that answers."""
        self.run("deploy", module, "--clock", "replayed")
        self.run("ingest", module, "--until", since)
        self.run("train", module, "--as-of", since, "--run", f"{module}-first")
        promoted = self.run("promote", module, "--as-of", since)
        assert promoted["verdict"] == "promote", promoted
        self._up.add(module)

    def bring_up_once(self, module: str, *, since: str) -> None:
        """The same, unless a test before has done it."""
        if module not in self._up:
            self.bring_up(module, since=since)

    def key(self, role: str) -> str:
        """The local API key of a role."""
        return (self.settings.keys_dir / role).read_text().strip()

    def pids(self, title: str) -> list[int]:
        """The processes of this cluster whose command line starts so, such as "ray::Recorder"."""
        return [pid for pid in cluster_pids(self.settings.home) if command_of(pid).startswith(title)]

    def in_catalog(self, code: str) -> dict:
        """The JSON that a snippet prints which finds the catalog's database as `catalog`; reads only."""
        program = (
            "import json; from heliostat.store.catalog import Catalog; "
            f"catalog = Catalog({self.settings.catalog_url!r}); print(json.dumps({code}, default=str))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the one cluster come last, so that nothing else is timed beside its idle replicas."""
    items.sort(key=lambda item: "installation" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A cluster that is gone, with all its processes, when the tests are over."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), base_port=BASE_PORT + 1000 * (os.getpid() % 3))
    local.start(settings)
    try:
        yield Installation(settings)
    finally:
        local.stop(settings)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object], float], object]:
    """Polls until something is true, and fails with what it last was if it takes too long."""
    import time

    def wait(found: Callable[[], object], timeout_s: float) -> object:
        deadline = time.monotonic() + timeout_s
        while not (value := found()):
            assert time.monotonic() < deadline, f"not within {timeout_s} s; last: {value!r}"
            time.sleep(0.1)
        return value

    return wait
