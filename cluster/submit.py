"""Jobs: submit one by its module's name, follow it, ask after it, stop it.

All parts run the same code: inside the cluster a job is given the code package of its submitter, and a code
revision is the content hash in that package's name.
"""

import json
import logging
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.job_submission import JobSubmissionClient

from cluster import dashboard
from cluster.environment import enter_client_environment, inside_cluster
from cluster.resources import JOB_DRIVER_CPUS
from heliostat.errors import ClusterError
from heliostat.settings import Settings

SUCCEEDED = "SUCCEEDED"
_ENDED = frozenset({SUCCEEDED, "FAILED", "STOPPED"})
_PACKAGE = re.compile(r"^gcs://_ray_pkg_([0-9a-f]+)\.zip$")
_POLL_S = 0.25
_NO_AGENT = "No available agent"
AGENT_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class JobTags:
    """What the cost ledger and people ask of a job; `turn` is empty outside the loop."""

    job_class: str
    workload: str
    turn: str = ""
    attempt: int = 1

    def metadata(self) -> dict[str, str]:
        """The tags as Ray keeps them: all text."""
        values = {"class": self.job_class, "workload": self.workload, "turn": self.turn}
        return values | {"attempt": str(self.attempt)}


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How a job stands; `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    submission_id: str
    status: str
    message: str
    exit_code: int | None

    @property
    def has_ended(self) -> bool:
        """True when the status will not change any more."""
        return self.status in _ENDED


def submit(
    settings: Settings,
    module: str,
    *,
    arguments: Sequence[str],
    submission_id: str,
    tags: JobTags,
    environment: Mapping[str, str] | None = None,
    working_dir: Path | None = None,
    package: str | None = None,
) -> str:
    """The job `python -m module arguments` is submitted under that id; the same id again changes nothing.

    Outside the cluster `working_dir` is uploaded (without what .gitignore names), or `package` names one that the
    cluster has; inside, the submitter's own package is used. `environment` is only for what differs: HELIOSTAT_* comes
    from the cluster.
    """
    if state(settings, submission_id) is not None:
        return submission_id
    code = package or (str(working_dir) if working_dir else code_package())
    runtime_env: dict[str, object] = {"working_dir": code}
    if environment:
        runtime_env["env_vars"] = dict(environment)
    return submitted(
        _client(settings).submit_job,
        entrypoint=shlex.join(["python", "-m", module, *arguments]),
        submission_id=submission_id,
        runtime_env=runtime_env,
        metadata=tags.metadata(),
        entrypoint_num_cpus=JOB_DRIVER_CPUS,
    )


def submitted(submit_job: Callable[..., str], *, timeout_s: float = AGENT_TIMEOUT_S, **job: object) -> str:
    """What Ray's `submit_job` says to the job, asked again while it knows of no agent; ClusterError after that time.

    The dashboard hears of an agent that is up a little later, on a busy machine many seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return submit_job(**job)
        except RuntimeError as error:
            if _NO_AGENT not in str(error):
                raise
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"The cluster has had no agent that could start {job.get('submission_id')} for {timeout_s:g} s: "
                    "look at dashboard_agent.log in Ray's session directory, or start the cluster anew."
                ) from error
        time.sleep(_POLL_S)


def running(settings: Settings, tags: JobTags) -> str | None:
    """The id of a job with these tags that has not ended; None when there is none."""
    found = json.loads(dashboard.request_text(settings, "/api/jobs/") or "[]")
    for job in found:
        if job["status"] not in _ENDED and job["metadata"] == tags.metadata():
            return str(job["submission_id"])
    return None


def state(settings: Settings, submission_id: str) -> JobState | None:
    """How the job stands, or None if no such job was submitted."""
    text = dashboard.request_text(settings, f"/api/jobs/{submission_id}", absent_is_none=True)
    if text is None:
        return None
    found = json.loads(text)
    return JobState(
        submission_id=submission_id,
        status=found["status"],
        message=found["message"] or "",
        exit_code=found["driver_exit_code"],
    )


def wait(settings: Settings, submission_id: str, *, timeout_s: float) -> JobState:
    """The state in which the job ended; raises ClusterError if it has not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        current = _require(settings, submission_id)
        if current.has_ended:
            return current
        if time.monotonic() > deadline:
            raise ClusterError(
                f"Job {submission_id} is still {current.status} after {timeout_s:.0f} s: look at its log in the "
                f"dashboard, {settings.dashboard_url}/#/jobs, or stop it with `ray job stop`."
            )
        time.sleep(_POLL_S)


def follow(settings: Settings, submission_id: str, *, write: Callable[[str], object] = sys.stdout.write) -> JobState:
    """The state in which the job ended; its log is written as it comes."""
    num_written = 0
    while True:
        # The state first: a log read after the end is whole. (Ray's own tail closes 5 s after the job does.)
        current = _require(settings, submission_id)
        text = logs(settings, submission_id)
        write(text[num_written:])
        num_written = len(text)
        if current.has_ended:
            return current
        time.sleep(_POLL_S)


def logs(settings: Settings, submission_id: str) -> str:
    """All that the job has written so far."""
    answer = dashboard.request(settings, f"/api/jobs/{submission_id}/logs")
    return str(answer["logs"] or "")


def result(log: str) -> dict[str, Any]:
    """What a job that succeeded said at its end: its last line that is a JSON object; ClusterError where none is.

    Not its very last line: Ray may warn after it, while the driver ends.
    """
    for line in reversed(log.splitlines()):
        if line.startswith("{") and line.rstrip().endswith("}"):
            try:
                return dict(json.loads(line))
            except json.JSONDecodeError:
                continue  # somebody else's braces
    raise ClusterError("The job succeeded, but its log holds no result, a line of JSON: see the log in the dashboard.")


def stop(settings: Settings, submission_id: str, *, timeout_s: float = 60.0) -> JobState:
    """The job has ended: by itself before, or stopped now."""
    current = _require(settings, submission_id)
    if current.has_ended:
        return current
    dashboard.request(settings, f"/api/jobs/{submission_id}/stop", method="POST")
    return wait(settings, submission_id, timeout_s=timeout_s)


def code_package() -> str:
    """The package of the code that runs here, as `gcs://...`; raises ClusterError outside a job."""
    package = ray.get_runtime_context().runtime_env.get("working_dir") if ray.is_initialized() else None
    if package is None:
        raise ClusterError("This process does not run from a code package: submit from a job, or give working_dir.")
    return str(package)


def code_revision(package: str) -> str:
    """The content hash of a code package."""
    match = _PACKAGE.match(package)
    if match is None:
        raise ClusterError(f"{package!r} is not a code package of Ray; expected gcs://_ray_pkg_<hash>.zip.")
    return match.group(1)


def package_of(revision: str) -> str:
    """The code package with that content hash."""
    return f"gcs://_ray_pkg_{revision}.zip"


def _client(settings: Settings) -> JobSubmissionClient:
    if not inside_cluster():
        enter_client_environment(settings)
    # Its messages on uploads and closed sockets would stand between the job's own lines.
    logging.getLogger("ray.dashboard").setLevel(logging.WARNING)
    logging.getLogger("ray._private.runtime_env").setLevel(logging.WARNING)
    return JobSubmissionClient(settings.dashboard_url, headers=dashboard.authorization(settings))


def _require(settings: Settings, submission_id: str) -> JobState:
    found = state(settings, submission_id)
    if found is None:
        raise ClusterError(f"No job {submission_id!r} on this cluster; `ray job list` names those there are.")
    return found
