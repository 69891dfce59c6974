"""Long answers over HTTP: submit, ask how it stands, fetch the result, cancel; what lies below `v1/jobs`.

Whoever submits gets an answer when the request is on disk and in the catalog, and never waits for a model.
"""

import asyncio
import contextlib
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyarrow import ArrowException

from heliostat.answer_jobs import DONE, AnswerJob, cancelled, shown
from heliostat.errors import CatalogError, ContractError, LakeError, NotFoundError
from heliostat.govern.roles import Action, Role
from heliostat.labels import Classes
from heliostat.serving import callbacks
from heliostat.serving.arrow_stream import ARROW
from heliostat.serving.problem import MalformedError, OverloadedError, TooLargeError, UnavailableError
from heliostat.serving.revisions import Revisions
from heliostat.store.answer_folder import AnswerFolder
from heliostat.tasks import Task
from serve_apps.asgi import JSON, REVISION_HEADER, Request, Response, parsed
from serve_apps.config import PredictorConfig
from serve_apps.desk import Desk
from serve_apps.http import Endpoint
from serve_apps.protocols import schemas_jobs as schemas

CALLBACK_HEADER, IDEMPOTENCY_HEADER = b"x-callback-url", b"idempotency-key"
MAX_KEY_LENGTH = 200
# A larger body is rows: reading it would hold up everybody else's requests, so the worker reads it.
MAX_READ_AT_ONCE = 64 * 1024
MAX_UPLOADS = 4
MAX_ROWS_AS_JSON = 100_000
_JOB = "/v1/jobs/{id}"


@dataclass(frozen=True, kw_only=True)
class _Asked:
    media_type: str
    body: bytes
    input_uri: str | None
    callback_url: str | None
    contract_revision: int | None

    def digest(self) -> str:
        """Names what was asked: the same again is the same job. Takes a tenth of a second for a large body."""
        revision = "" if self.contract_revision is None else str(self.contract_revision)
        parts = (self.media_type, self.input_uri or "", self.callback_url or "", revision)
        begun = hashlib.sha256("\n".join(parts).encode())
        begun.update(self.body)
        return begun.hexdigest()


class V1Jobs:
    """The handlers of `v1/jobs` for one workload."""

    def __init__(self, config: PredictorConfig, *, revisions: Revisions, desk: Desk) -> None:
        self._workload, self._limits, self._lake_uri = config.workload, config.long_answers, config.lake_uri
        self._task, self._revisions, self._desk = config.contract.task, revisions, desk
        self._num_uploads = 0

    def endpoints(
        self, rows_body: dict[str, Any], columns_body: dict[str, Any], headers: dict[str, Any]
    ) -> list[Endpoint]:
        """What this protocol answers, and to whom; bodies and the header of the revision are those of `v1/predict`."""
        submit = Endpoint(
            method="POST",
            path="/v1/jobs",
            action=Action.PREDICT,
            handler=self.submit,
            summary="Ask for a long answer: 202 with its Location; the same Idempotency-Key again is the same job",
            body=schemas.job_body(rows_body),
            other_bodies={ARROW: columns_body},
            other_answers={JSON: schemas.JOB},
            headers={**schemas.SUBMIT_HEADERS, **headers},
            status=202,
        )
        return [
            submit,
            self._endpoint("GET", "/v1/jobs", self.list, "The caller's newest jobs", schemas.JOBS),
            self._endpoint("GET", _JOB, self.job, "How a job stands", schemas.JOB),
            self._endpoint(
                "GET", f"{_JOB}/result", self.result, "The answers, JSON or Arrow by Accept", schemas.result(self._task)
            ),
            self._endpoint("DELETE", _JOB, self.cancel, "Cancel a job that has not ended", schemas.JOB),
            self._endpoint(
                "POST", "/v1/webhook-secret", self.secret, "A new secret for callbacks, shown once", schemas.SECRET
            ),
        ]

    async def submit(self, request: Request) -> Response:
        """202 when the job is stored; nothing is lost from then on."""
        job_id = self._job_id(request)
        asked = await self._asked(request)
        await self._refuse_callback(asked.callback_url, request.by)
        # Beside the event loop: reading a large body once more would hold up everybody else's requests.
        job = self._made(job_id, asked, request, digest=await asyncio.to_thread(asked.digest))
        with contextlib.suppress(NotFoundError):
            known = await self._desk.job(job_id)
            # Asked before, which is said whatever waits; with another body it is refused.
            return self._accepted(await self._desk.add(job, at=job.created_at) if known.digest != job.digest else known)
        if await self._desk.num_open() >= self._limits.max_waiting:
            raise OverloadedError.retry_after(f"{self._limits.max_waiting} jobs wait or run; ask again later.", 30.0)
        await asyncio.to_thread(_written, AnswerFolder(job.folder), job.digest, asked.body)
        stored = await self._desk.add(job, at=job.created_at)
        # Its own poll finds the job too, if it cannot be woken now.
        with contextlib.suppress(UnavailableError):
            await self._desk.wake()
        return self._accepted(stored)

    def _made(self, job_id: str, asked: _Asked, request: Request, *, digest: str) -> AnswerJob:
        now = datetime.now(UTC)
        return AnswerJob(
            job_id=job_id,
            workload=self._workload,
            by=request.by,
            digest=digest,
            folder=AnswerFolder.of(self._lake_uri, self._workload, job_id).uri,
            media_type=asked.media_type,
            input_uri=asked.input_uri,
            callback_url=asked.callback_url,
            contract_revision=asked.contract_revision,
            created_at=now,
            expires_at=now + self._limits.keep,
        )

    async def list(self, request: Request) -> Response:
        """The newest jobs: the caller's own, for operators everybody's."""
        jobs = await self._desk.jobs(None if _sees_all(request) else request.by)
        return Response.of({"jobs": [shown(job) for job in jobs]})

    async def job(self, request: Request) -> Response:
        """How the job stands."""
        return Response.of(shown(await self._own(request)))

    async def cancel(self, request: Request) -> Response:
        """The job as it stands then: cancelled, or ended before."""
        while True:
            job = await self._own(request)
            now = datetime.now(UTC)
            ended = cancelled(job, at=now, keep=self._limits.keep)
            if ended is job or await self._desk.change(ended, by=request.by, at=now, kind="answer_job_cancelled"):
                with contextlib.suppress(UnavailableError):
                    await self._desk.wake()
                return Response.of(shown(ended))

    async def result(self, request: Request) -> Response:
        """The answers; 409 while there are none."""
        job = await self._own(request)
        if job.status != DONE:
            raise CatalogError(f"The job {job.job_id} is {job.status}, so it has no result{_because(job)}.")
        folder = AnswerFolder(job.folder)
        if request.accepts(ARROW):
            return Response(body=await asyncio.to_thread(folder.result, job.attempt), content_type=ARROW)
        if (job.num_rows or 0) > MAX_ROWS_AS_JSON:
            raise TooLargeError(
                f"The result has {job.num_rows} rows, JSON at most {MAX_ROWS_AS_JSON}; ask with Accept: {ARROW}."
            )
        return Response.of(await asyncio.to_thread(_document, job, folder, self._task))

    async def secret(self, request: Request) -> Response:
        """A secret that signs this caller's callbacks from now on; an older one counts no longer."""
        made = callbacks.secret_of(secrets.token_bytes(callbacks.SECRET_BYTES))
        await self._desk.put_secret(request.by, made, at=datetime.now(UTC))
        return Response.of({"secret": made})

    def _endpoint(self, method: str, path: str, handler: Any, summary: str, answer: dict[str, Any]) -> Endpoint:
        answers = (
            {JSON: answer, ARROW: schemas.result_columns(self._task)} if path.endswith("/result") else {JSON: answer}
        )
        return Endpoint(
            method=method, path=path, action=Action.PREDICT, handler=handler, summary=summary, other_answers=answers
        )

    async def _asked(self, request: Request) -> _Asked:
        named = request.header(REVISION_HEADER)
        revision = None if named is None else self._revisions.number(named, at=request.received_at)
        if self._num_uploads >= MAX_UPLOADS:
            raise OverloadedError.retry_after(f"{MAX_UPLOADS} jobs are being sent to this replica; ask again.", 2.0)
        self._num_uploads += 1
        try:
            request.max_body_bytes = self._limits.max_body_bytes
            body = await request.body(JSON, ARROW)
        finally:
            self._num_uploads -= 1
        if not body:
            raise MalformedError('A job looks like {"rows": [{...}]} or {"input": "s3://..."}; got an empty body.')
        input_uri = _input_of(body) if request.media_type == JSON else None
        if input_uri is not None:
            callbacks.refuse_address(input_uri, self._limits.input_prefixes, what="The input", any_query=False)
        return _Asked(
            media_type=request.media_type,
            body=body,
            input_uri=input_uri,
            callback_url=request.header(CALLBACK_HEADER),
            contract_revision=revision,
        )

    async def _refuse_callback(self, url: str | None, by: str) -> None:
        if url is None:
            return
        callbacks.refuse_address(url, self._limits.callback_prefixes, what="X-Callback-Url", any_query=True)
        if not await self._desk.has_secret(by):
            raise ContractError("A callback needs a secret that signs it: make one with POST v1/webhook-secret first.")

    def _job_id(self, request: Request) -> str:
        """Bound to the caller, so that nobody meets another's job under the same key."""
        key = request.header(IDEMPOTENCY_HEADER) or request.request_id
        if len(key) > MAX_KEY_LENGTH:
            raise MalformedError(f"Idempotency-Key may have {MAX_KEY_LENGTH} characters; got {len(key)}.")
        digest = hashlib.blake2b(f"{self._workload}\n{request.by}\n{key}".encode(), digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=5))

    async def _own(self, request: Request) -> AnswerJob:
        job = await self._desk.job(request.parameters["id"].lower())
        if job.by != request.by and not _sees_all(request):
            # The same words as for one that does not exist: ids of others are nobody's business.
            raise NotFoundError(f"There is no job {job.job_id!r}; results are kept for a while only.")
        return job

    def _accepted(self, job: AnswerJob) -> Response:
        response = Response.of(shown(job), status=202)
        return response.with_headers({"Location": f"/{self._workload}/v1/jobs/{job.job_id}"})


def _written(folder: AnswerFolder, digest: str, body: bytes) -> None:
    try:
        folder.put_request(digest, body)
    except OSError as error:
        raise LakeError(f"The job was not accepted, because it cannot be stored: {error}.") from error


def _input_of(body: bytes) -> str | None:
    """The URI of the table to read; None when the body holds rows."""
    if len(body) > MAX_READ_AT_ONCE:
        return None
    document = parsed(body)
    known = {"rows", "input"}
    if not isinstance(document, dict) or len(document.keys() & known) != 1 or document.keys() - known:
        raise MalformedError('A job looks like {"rows": [{...}]} or {"input": "s3://..."}, one of the two.')
    if "rows" in document:
        if not isinstance(document["rows"], list) or not document["rows"]:
            raise MalformedError("`rows` must be a list of at least one object.")
        return None
    if type(document["input"]) is not str or not document["input"]:
        raise MalformedError(f"`input` must be a path or URI; got {document['input']!r:.80}.")
    return document["input"]


def _document(job: AnswerJob, folder: AnswerFolder, task: Task) -> Mapping[str, Any]:
    try:
        table = pa.ipc.open_stream(folder.result(job.attempt)).read_all()
    except ArrowException as error:
        raise LakeError(f"The result of {job.job_id} cannot be read: {error}. Ask for the answer again.") from error
    columns = table.to_pydict()
    first, *others = task.told_types
    return {
        "id": job.job_id,
        "rows": columns["row"],
        "ids": columns["id"],
        "predictions": _as_declared(columns[first], task),
        **{name: columns[name] for name in others},
        "model_version": job.version,
        "rejected": folder.rejected(job.attempt),
    }


def _as_declared(predictions: list[Any], task: Task) -> list[Any]:
    """Predictions as JSON says them: of classes that are integers, which Arrow tells as texts, the integers."""
    if not isinstance(task.label, Classes):
        return predictions
    value_by_text = {str(value): value for value in task.label.values}
    return [value_by_text[text] for text in predictions]


def _sees_all(request: Request) -> bool:
    return request.caller is not None and Role.parse(request.caller.role) >= Role.OPERATOR


def _because(job: AnswerJob) -> str:
    return f": {job.error}" if job.error else ""
