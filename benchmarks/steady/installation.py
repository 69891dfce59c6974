"""A local installation of the toys for measurements: two versions of one workload, jobs, and a changed code tree."""

import json
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from cluster import local, submit
from heliostat.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SINCE, LATER = "2024-03-01", "2024-04-01"
ROW = {"load_percent": 71.5, "temperature_c": 14.0, "site": "beta"}


class Toys(AbstractContextManager["Toys"]):
    """A cluster of its own, gone with its processes at the end unless it shall be kept."""

    def __init__(self, home: Path, base_port: int, *, keep: bool) -> None:
        self.settings = Settings(home=home, base_port=base_port)
        self._keep = keep
        self._num_jobs = int(time.time())

    def __enter__(self) -> Self:
        local.start(self.settings)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._keep:
            local.stop(self.settings)

    def start(self, verb: str, module: str, *options: str, tree: Path = ROOT) -> str:
        """The id of a job that runs the code of that tree."""
        self._num_jobs += 1
        return submit.submit(
            self.settings,
            f"jobs.{verb}",
            arguments=[module, *options],
            submission_id=f"measure-{self._num_jobs}-{verb}",
            tags=submit.JobTags(job_class=verb, workload=module),
            working_dir=tree,
        )

    def run(self, verb: str, module: str, *options: str, tree: Path = ROOT) -> dict[str, Any]:
        """What a job said at its end; RuntimeError with its output when it failed."""
        identifier = self.start(verb, module, *options, tree=tree)
        state = submit.wait(self.settings, identifier, timeout_s=300.0)
        text = submit.logs(self.settings, identifier)
        if state.status != submit.SUCCEEDED:
            raise RuntimeError(text[-2000:])
        return submit.result(text)

    def versions(self, module: str) -> list[int]:
        """The champion that answers, and another version; made on the first call."""
        known = self.settings.home / f"{module}.json"
        if known.exists():
            self.run("deploy", module, "--clock", "replayed")
        else:
            known.write_text(json.dumps([self._bring_up(module), self._another_version(module)]))
        made: list[int] = json.loads(known.read_text())
        return made

    def _bring_up(self, module: str) -> int:
        """The first champion of a workload, which answers when this returns."""
        self.run("deploy", module, "--clock", "replayed")
        self.run("ingest", module, "--until", SINCE)
        version: int = self.run("train", module, "--as-of", SINCE, "--run", f"{module}-first")["versions"][-1]
        promoted = self.run("promote", module, "--as-of", SINCE, "--version", str(version))
        if promoted["verdict"] != "promote":
            raise RuntimeError(f"The first version of {module} did not pass its gates: {promoted}.")
        return version

    def _another_version(self, module: str) -> int:
        """A second version, trained and not promoted."""
        self.run("ingest", module, "--until", LATER)
        version: int = self.run("train", module, "--as-of", LATER, "--run", f"{module}-second")["versions"][-1]
        return version

    def key(self, role: str) -> str:
        """The local API key of a role."""
        return (self.settings.keys_dir / role).read_text().strip()

    def changed_tree(self, name: str, path: str, old: str, new: str) -> Path:
        """A copy of the code in which `old` is `new` in one file."""
        tree = self.settings.home / "trees" / name
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        for file in listed.stdout.splitlines():
            if (ROOT / file).is_file():
                (tree / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, tree / file)
        text = (tree / path).read_text()
        if old not in text:
            raise RuntimeError(f"{path} has no {old!r}; adapt the measurement.")
        (tree / path).write_text(text.replace(old, new, 1))
        return tree
