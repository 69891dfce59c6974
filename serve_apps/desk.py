"""Where a replica leaves what takes longer, and looks how it stands."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from cluster import names
from heliostat.answer_jobs import AnswerJob
from serve_apps.steering import ActorSteering

STORE_TIMEOUT_S = 10.0


class Desk(Protocol):
    """The long answers of one workload; every method raises UnavailableError when nobody answers in time."""

    async def add(self, job: AnswerJob, *, at: datetime) -> AnswerJob:
        """The job is stored; one with the same id stays as it is."""

    async def change(self, job: AnswerJob, *, by: str, at: datetime, kind: str) -> bool:
        """Whether the job is this now; False when it was changed meanwhile."""

    async def job(self, job_id: str) -> AnswerJob:
        """The job; NotFoundError when there is none."""

    async def jobs(self, by: str | None) -> list[AnswerJob]:
        """The newest jobs, of one caller when named."""

    async def num_open(self) -> int:
        """How many wait or run."""

    async def has_secret(self, name: str) -> bool:
        """Whether callbacks for this caller can be signed."""

    async def put_secret(self, name: str, secret: str, *, at: datetime) -> None:
        """Callbacks for this caller are signed with it from now on."""

    async def wake(self) -> None:
        """Somebody looks at what is new at once, if he is up."""


class ActorDesk(ActorSteering):
    """The catalog of this cluster, and the actor that sees to the answers."""

    async def add(self, job: AnswerJob, *, at: datetime) -> AnswerJob:
        """The job is stored; one with the same id stays as it is."""
        stored: AnswerJob = await self._store("add_answer_job", job, by=job.by, at=at)
        return stored

    async def change(self, job: AnswerJob, *, by: str, at: datetime, kind: str) -> bool:
        """Whether the job is this now; False when it was changed meanwhile."""
        return bool(await self._store("change_answer_job", job, by=by, at=at, kind=kind))

    async def job(self, job_id: str) -> AnswerJob:
        """The job; NotFoundError when there is none."""
        found: AnswerJob = await self._store("answer_job", self._workload, job_id)
        return found

    async def jobs(self, by: str | None) -> list[AnswerJob]:
        """The newest jobs, of one caller when named."""
        return list(await self._store("answer_jobs", self._workload, by=by))

    async def num_open(self) -> int:
        """How many wait or run."""
        return int(await self._store("num_open_answer_jobs", self._workload))

    async def has_secret(self, name: str) -> bool:
        """Whether callbacks for this caller can be signed."""
        return await self._store("webhook_secret", self._workload, name) is not None

    async def put_secret(self, name: str, secret: str, *, at: datetime) -> None:
        """Callbacks for this caller are signed with it from now on."""
        await self._store("put_webhook_secret", self._workload, name, secret, by=name, at=at)

    async def wake(self) -> None:
        """Somebody looks at what is new at once, if he is up."""
        await self._call(names.answerer(self._workload), "wake", timeout_s=STORE_TIMEOUT_S)

    async def _store(self, method: str, *arguments: Any, **named: Any) -> Any:
        given: Mapping[str, Any] = named
        return await self._call(names.CATALOG, method, *arguments, timeout_s=STORE_TIMEOUT_S, **given)
