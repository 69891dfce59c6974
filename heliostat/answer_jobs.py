"""Long answers as a state machine: what may become of a job, decided without a clock or a store.

queued ──▶ running ──▶ done | failed          (a lost attempt: back to queued, a few times)
   └──────────┴──────▶ cancelled
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from heliostat.records import Record

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
OPEN = frozenset({QUEUED, RUNNING})
PENDING, DELIVERED, GIVEN_UP = "pending", "delivered", "given up"
# What ended a worker (memory, a node) is often over after a while, and others wait for their answers meanwhile.
ATTEMPT_WAITS_S = (1.0, 5.0, 20.0, 60.0)
MAX_ATTEMPTS = len(ATTEMPT_WAITS_S) + 1


@dataclass(frozen=True, kw_only=True)
class AnswerJob(Record):
    """One long answer; `revision` grows with every change, so that of two changes at once one is refused.

    `folder` holds what was asked and what is answered; `version` is fixed when the first attempt starts.
    `contract_revision` is the one that was named, `not_before` when the next attempt may start.
    """

    job_id: str
    workload: str
    by: str
    digest: str
    folder: str
    media_type: str
    input_uri: str | None
    callback_url: str | None
    created_at: datetime
    expires_at: datetime
    status: str = QUEUED
    revision: int = 1
    attempt: int = 0
    version: int | None = None
    num_done: int = 0
    num_rows: int | None = None
    num_rejected: int = 0
    error: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    callback: str | None = None
    callback_tries: int = 0
    callback_at: datetime | None = None
    callback_error: str | None = None
    contract_revision: int | None = None
    not_before: datetime | None = None

    @property
    def is_open(self) -> bool:
        """True while its answer may still come."""
        return self.status in OPEN

    def may_start(self, at: datetime) -> bool:
        """True when an attempt may start now, or one is under way."""
        return self.is_open and (self.not_before is None or self.not_before <= at)

    @property
    def needs_care(self) -> bool:
        """True while something is left to do but wait for its end of life."""
        return self.is_open or self.callback == PENDING


def claimed(job: AnswerJob, *, version: int, at: datetime) -> AnswerJob:
    """The next attempt has it; every attempt answers with the version of the first."""
    return _changed(
        job,
        status=RUNNING,
        attempt=job.attempt + 1,
        version=job.version or version,
        num_done=0,
        not_before=None,
        started_at=job.started_at or at,
    )


def progressed(job: AnswerJob, num_done: int) -> AnswerJob:
    """So many rows are looked at."""
    return _changed(job, num_done=num_done)


def lost(job: AnswerJob, *, why: str, at: datetime, keep: timedelta) -> AnswerJob:
    """The attempt ended without a word: the job waits for the next, longer each time, or fails when it had enough."""
    if job.attempt < MAX_ATTEMPTS:
        wait_s = ATTEMPT_WAITS_S[max(job.attempt, 1) - 1]
        return _changed(job, status=QUEUED, num_done=0, not_before=at + timedelta(seconds=wait_s))
    return failed(job, f"{MAX_ATTEMPTS} attempts ended without an answer; the last: {why}", at=at, keep=keep)


def done(job: AnswerJob, *, num_rows: int, num_rejected: int, at: datetime, keep: timedelta) -> AnswerJob:
    """The result of this attempt is the answer; it is written whole by then."""
    counts = {"num_rows": num_rows, "num_done": num_rows, "num_rejected": num_rejected}
    return _ended(job, DONE, at=at, keep=keep, **counts)


def failed(job: AnswerJob, error: str, *, at: datetime, keep: timedelta) -> AnswerJob:
    """There will be no answer, for the reason given."""
    return _ended(job, FAILED, at=at, keep=keep, error=error)


def cancelled(job: AnswerJob, *, at: datetime, keep: timedelta) -> AnswerJob:
    """Whoever asked wants no answer any more; one that ended stays as it is, and nobody is called back."""
    if not job.is_open:
        return job
    return replace(_ended(job, CANCELLED, at=at, keep=keep), callback=None, callback_at=None)


def called_back(job: AnswerJob, error: str | None, *, at: datetime, waits_s: Sequence[float]) -> AnswerJob:
    """The callback was delivered (no error), will be tried again, or is given up after the last of `waits_s`."""
    tries = job.callback_tries + 1
    if error is None:
        return _changed(job, callback=DELIVERED, callback_tries=tries, callback_at=at, callback_error=None)
    if tries > len(waits_s):
        return _changed(job, callback=GIVEN_UP, callback_tries=tries, callback_at=at, callback_error=error)
    again_at = at + timedelta(seconds=waits_s[tries - 1])
    return _changed(job, callback_tries=tries, callback_at=again_at, callback_error=error)


def shown(job: AnswerJob) -> dict[str, Any]:
    """The job as its caller sees it; `result` is a path on this server."""
    kept = ("status", "created_at", "started_at", "ended_at", "num_done", "num_rows", "num_rejected", "error")
    told = {"url": job.callback_url, "state": job.callback, "tries": job.callback_tries, "error": job.callback_error}
    return {
        "id": job.job_id,
        **{name: value for name, value in job.to_json().items() if name in kept},
        "model_version": job.version,
        "attempt": job.attempt,
        "kept_until": job.expires_at.isoformat(),
        "result": f"/{job.workload}/v1/jobs/{job.job_id}/result" if job.status == DONE else None,
        "callback": None if job.callback_url is None else told,
    }


def _ended(job: AnswerJob, status: str, *, at: datetime, keep: timedelta, **fields: object) -> AnswerJob:
    callback = PENDING if job.callback_url is not None else None
    return _changed(job, status=status, ended_at=at, expires_at=at + keep, callback=callback, callback_at=at, **fields)


def _changed(job: AnswerJob, **fields: object) -> AnswerJob:
    return replace(job, revision=job.revision + 1, **fields)  # type: ignore[arg-type]
