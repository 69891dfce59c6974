"""The whole loop on this machine: start a local cluster, then ingest, train, promote, replay and report as Ray jobs.

Reads:  the workload's source
Writes: everything below HELIOSTAT_HOME; leaves the endpoints up

Run again, it shows the stored result and puts changed code in place; `--fresh` forgets everything and repeats.
"""

import argparse
import json
import logging
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster import local, submit
from heliostat.check import check
from heliostat.errors import ClusterError, HeliostatError, WorkloadError
from heliostat.settings import Settings
from heliostat.workload import Workload, load
from jobs import _goodbye, _table, _terminal


class Runner:
    """Submits one job after the other and follows each; a failed one ends the run."""

    def __init__(self, settings: Settings, module: str, workload: Workload) -> None:
        self._settings, self._module, self._workload = settings, module, workload
        self._started_at = time.monotonic()
        self._stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self._package: str | None = None

    def deploy(self) -> dict[str, Any]:
        """Put this directory's code in place; every later step runs the same code, whatever is edited meanwhile."""
        deployed = self.step("deploy", "--clock", "replayed")
        self._package = submit.package_of(deployed["code_revision"])
        return deployed

    def step(self, verb: str, *options: str) -> dict[str, Any]:
        """Run `jobs.<verb>` to its end as a Ray job, its output shown as it comes; returns its result."""
        command = " ".join(["python -m", f"jobs.{verb}", self._module, *options])
        self.say(f"ray job submit -- {command}")
        tags = submit.JobTags(job_class=verb, workload=self._workload.name)
        # One that an interrupted run left behind is followed, not started a second time.
        submission_id = submit.running(self._settings, tags) or submit.submit(
            self._settings,
            f"jobs.{verb}",
            arguments=[self._module, *options],
            submission_id=f"{self._workload.name}-{verb}-{self._stamp}",
            tags=tags,
            working_dir=Path.cwd(),
            package=self._package,
        )
        with _terminal.output(self._settings, self._workload.name) as shown:
            state = submit.follow(self._settings, submission_id, write=shown)
        if state.status != submit.SUCCEEDED:
            raise ClusterError(
                f"jobs.{verb} ended as {state.status}: see above, or its log at {self._settings.dashboard_url}."
            )
        return submit.result(submit.logs(self._settings, submission_id))

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        print(f"[{time.monotonic() - self._started_at:6.1f} s] {text}", flush=True)


def run(settings: Settings, module: str, *, fresh: bool) -> None:
    """Run the loop, or show the result that is stored."""
    workload = load(module)
    if workload.replay is None:
        raise WorkloadError(f"{module} declares no `replay=Replay(since=..., until=...)`, so there is no past to play.")
    check(workload)
    if fresh:
        forget(settings)
    runner = Runner(settings, module, workload)
    runner.say("starting a local Ray cluster" if not local.is_up(settings) else "the local Ray cluster is up")
    local.start(settings)
    deployed = runner.deploy()
    stored = settings.results_dir / f"{workload.name}.json"
    if not stored.exists():
        _turn_the_loop(runner, workload, settings, deployed=deployed)
    result = json.loads(stored.read_text())
    print(f"\n{_table.render(result)}\n\nplot: {result['plot']}\n")
    print(_goodbye.text(settings, workload))


def _turn_the_loop(runner: Runner, workload: Workload, settings: Settings, *, deployed: dict[str, Any]) -> None:
    assert workload.replay is not None
    since, until = workload.replay.since.isoformat(), workload.replay.until.isoformat()
    runner.step("ingest", "--until", since)
    if deployed["champion"] is None:
        # The code is in the name: a run that was interrupted goes on, one of other code starts anew.
        runner.step("train", "--as-of", since, "--run", f"{workload.name}-first-{deployed['code_revision']}")
        runner.step("promote", "--as-of", since)
    answer = _goodbye.ask_once(settings, workload)
    runner.say(f"first answer: {json.dumps(answer)}")
    runner.step("replay", "--since", since, "--until", until)
    runner.step("report")


def forget(settings: Settings) -> None:
    """Stop this home's cluster and remove everything it stored; whatever else lies in the home stays."""
    local.stop(settings)
    # By name, never all that is there: a home may be a directory that holds a person's own files.
    directories = [Path(uri) for uri in (settings.lake_uri, settings.bundles_uri)]
    directories += [settings.segments_dir, settings.runs_dir, settings.results_dir, settings.keys_dir]
    for directory in directories:
        if directory.is_symlink():
            directory.unlink()
        elif directory.exists():
            shutil.rmtree(directory)
    database = Path(settings.catalog_url.removeprefix("sqlite:///"))
    for path in database.parent.glob(f"{database.name}*"):  # with its write-ahead log
        path.unlink()


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", default="workloads.flights", help="module (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget everything stored here, and repeat")
    options: Any = parser.parse_args(argv)
    logging.disable(logging.WARNING)  # Ray tells of every upload; errors are still shown
    try:
        run(Settings.from_env(), options.workload, fresh=options.fresh)
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was started is still up. `make run` goes on, `make down` stops it.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
