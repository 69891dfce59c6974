"""Long answers and the secrets that sign their callbacks, in the catalog."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update

from heliostat.answer_jobs import OPEN, AnswerJob
from heliostat.errors import CatalogError, NotFoundError
from heliostat.store.catalog_tables import answer_jobs, webhook_secrets
from heliostat.store.database import Database

MAX_LISTED = 200


class AnswerJobs(Database):
    """The catalog's long answers; what may change is decided in `heliostat.answer_jobs`."""

    def add_answer_job(self, job: AnswerJob, *, by: str, at: datetime) -> AnswerJob:
        """The job is there; one of the same id and content stays as it is, CatalogError when the content differs."""
        with self._changing(by=by, at=at) as change:
            row = change.connection.execute(_one(job.workload, job.job_id)).one_or_none()
            if row is not None:
                known = _job(row)
                if known.digest != job.digest:
                    raise CatalogError(
                        f"The job {job.job_id} was asked for with another body under the same key; give a new "
                        "Idempotency-Key, or the same body."
                    )
                return known
            change.connection.execute(insert(answer_jobs).values(**_values(job)))
            change.journal("answer_job_added", job.workload, payload=_said(job))
            return job

    def change_answer_job(
        self,
        job: AnswerJob,
        *,
        by: str,
        at: datetime,
        kind: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> bool:
        """True when the job is this now; False, and nothing changed, when somebody changed it meanwhile.

        The same change once more is True. With `kind` it is journalled.
        """
        with self._changing(by=by, at=at) as change:
            before = answer_jobs.c.revision == job.revision - 1
            statement = update(answer_jobs).where(_is(job.workload, job.job_id), before).values(**_values(job))
            if change.connection.execute(statement).rowcount:
                if kind is not None:
                    change.journal(kind, job.workload, payload={**_said(job), **(payload or {})})
                return True
            row = change.connection.execute(_one(job.workload, job.job_id)).one_or_none()
            return row is not None and _job(row) == job

    def answer_job(self, workload: str, job_id: str) -> AnswerJob:
        """The job; NotFoundError when there is none, or none any more."""
        with self._reading() as connection:
            row = connection.execute(_one(workload, job_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no job {job_id!r:.80}; results are kept for a while only.")
        return _job(row)

    def answer_jobs(self, workload: str, *, by: str | None = None) -> list[AnswerJob]:
        """The newest jobs of the workload first, at most 200; of one caller when named."""
        query = select(answer_jobs).where(answer_jobs.c.workload == workload)
        if by is not None:
            query = query.where(answer_jobs.c.by == by)
        query = query.order_by(answer_jobs.c.created_at.desc(), answer_jobs.c.job_id).limit(MAX_LISTED)
        with self._reading() as connection:
            return [_job(row) for row in connection.execute(query)]

    def answer_jobs_to_do(self, workload: str, *, at: datetime) -> list[AnswerJob]:
        """Those with something left to do, and those whose time is over; the oldest first."""
        due = or_(answer_jobs.c.needs_care, answer_jobs.c.expires_at <= at)
        query = select(answer_jobs).where(answer_jobs.c.workload == workload, due)
        with self._reading() as connection:
            return [_job(row) for row in connection.execute(query.order_by(answer_jobs.c.created_at))]

    def num_open_answer_jobs(self, workload: str) -> int:
        """How many wait or run."""
        with self._reading() as connection:
            rows = connection.execute(
                select(answer_jobs.c.job_id).where(answer_jobs.c.workload == workload, answer_jobs.c.status.in_(OPEN))
            )
            return len(rows.all())

    def remove_answer_job(self, workload: str, job_id: str, *, by: str, at: datetime) -> None:
        """The job is gone; nothing changes when it was."""
        with self._changing(by=by, at=at) as change:
            change.connection.execute(delete(answer_jobs).where(_is(workload, job_id)))

    def put_webhook_secret(self, workload: str, name: str, secret: str, *, by: str, at: datetime) -> None:
        """Callbacks for this caller are signed with it from now on."""
        with self._changing(by=by, at=at) as change:
            is_this = (webhook_secrets.c.workload == workload) & (webhook_secrets.c.name == name)
            change.connection.execute(delete(webhook_secrets).where(is_this))
            change.connection.execute(insert(webhook_secrets).values(workload=workload, name=name, secret=secret))
            change.journal("webhook_secret_made", workload, payload={"name": name})

    def webhook_secret(self, workload: str, name: str) -> str | None:
        """What signs callbacks for this caller, None before one was made. Stored as it is: a signature needs it."""
        query = select(webhook_secrets.c.secret).where(
            webhook_secrets.c.workload == workload, webhook_secrets.c.name == name
        )
        with self._reading() as connection:
            secret: str | None = connection.execute(query).scalar_one_or_none()
        return secret


def _one(workload: str, job_id: str) -> Any:
    return select(answer_jobs).where(_is(workload, job_id))


def _is(workload: str, job_id: str) -> Any:
    return (answer_jobs.c.workload == workload) & (answer_jobs.c.job_id == job_id)


def _values(job: AnswerJob) -> dict[str, Any]:
    own = {name: getattr(job, name) for name in ("workload", "job_id", "by", "status", "revision", "needs_care")}
    return {**own, "created_at": job.created_at, "expires_at": job.expires_at, "record": job.to_json()}


def _job(row: Row[Any]) -> AnswerJob:
    return AnswerJob.from_json(row.record)


def _said(job: AnswerJob) -> dict[str, Any]:
    """What the journal keeps: who, what, and how it stands."""
    kept = ("job_id", "by", "digest", "status", "attempt", "version", "num_rows", "num_rejected", "error")
    return {name: getattr(job, name) for name in kept}
