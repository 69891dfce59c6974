"""What is left to do for long answers that ended: tell whoever wants to be told, and clear away what is over.

Reads:  catalog: long answers, secrets
Writes: catalog: long answers; their folders
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from actors import callbacks
from actors.proxy import catalog
from heliostat import answer_jobs
from heliostat.answer_jobs import PENDING, AnswerJob
from heliostat.store.answer_folder import AnswerFolder

logger = logging.getLogger(__name__)


class Aftercare:
    """Of one workload; a job that it cannot see to now keeps none of the others waiting."""

    def __init__(self, workload: str, *, by: str, waits_s: Sequence[float]) -> None:
        self._name, self._by, self._waits_s = workload, by, waits_s

    def step(self) -> bool:
        """All that is due was tried, then the first error is raised; False, because nothing more is due."""
        first: Exception | None = None
        for job in catalog().answer_jobs_to_do(self._name, at=datetime.now(UTC)):
            try:
                self._see_to(job)
            # The outer edge of one job: its folder may lie where nobody may write, and the next one is another's.
            except Exception as error:
                logger.exception("The job %s of %s could not be seen to; trying again.", job.job_id, self._name)
                first = first or error
        if first is not None:
            raise first
        return False

    def _see_to(self, job: AnswerJob) -> None:
        now = datetime.now(UTC)
        if not job.is_open and job.expires_at <= now:
            AnswerFolder(job.folder).remove()
            catalog().remove_answer_job(self._name, job.job_id, by=self._by, at=now)
        elif job.callback == PENDING and (job.callback_at is None or job.callback_at <= now):
            self._tell(job)

    def _tell(self, job: AnswerJob) -> None:
        error = callbacks.deliver(job, catalog().webhook_secret(self._name, job.by))
        at = datetime.now(UTC)
        told = answer_jobs.called_back(job, error, at=at, waits_s=self._waits_s)
        payload = {"callback": told.callback, "try": told.callback_tries, "callback_error": error}
        catalog().change_answer_job(told, by=self._by, at=at, kind="answer_job_callback", payload=payload)
