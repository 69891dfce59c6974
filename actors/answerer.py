"""Sees to long answers: hands each to a worker, once, and tells whoever wants to be told.

Reads:  catalog: long answers, versions, aliases
Writes: catalog: long answers; a worker that writes the answers
"""

import importlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ray

from actors.aftercare import Aftercare
from actors.proxy import catalog
from heliostat import answer_jobs
from heliostat.answer_jobs import RUNNING, AnswerJob
from heliostat.declared.long_answers import LongAnswers
from heliostat.records import BundleRef
from heliostat.settings import Settings

logger = logging.getLogger(__name__)

POLL_S = 2.0  # whoever submits also wakes this actor; the poll is for what it did not hear
PROGRESS_EVERY_S = 1.0
IDLE_S = 60.0  # a worker that has nothing to do gives its memory back


class ByName:
    """An object of a class that is imported where this actor runs, so that its owner needs nothing that it needs."""

    def __init__(self, class_name: str, arguments: dict[str, Any]) -> None:
        module, _, name = class_name.partition(":")
        self._made = getattr(importlib.import_module(module), name)(**arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        """What the object's method returns."""
        return getattr(self._made, method)(*arguments)


class Answerer:
    """One workload's long answers, one after the other; all that it knows is in the catalog."""

    def __init__(self, workload: str, *, module: str, worker: str, limits: LongAnswers, settings: Settings) -> None:
        self._name, self._limits = workload, limits
        self._worker_class = worker
        self._arguments = {"module": module, "settings": settings}
        self._by = f"answerer/{workload}"
        self._worker: Any = None
        self._idle_since_s = time.monotonic()
        self._answers_waken, self._callbacks_waken = threading.Event(), threading.Event()
        self._last_error: str | None = None
        aftercare = Aftercare(workload, by=self._by, waits_s=limits.callback_waits_s)
        # A copy of this actor that was cut off may still be at work: whose change of a job comes second is refused.
        for step, waken in ((self._answer_next, self._answers_waken), (aftercare.step, self._callbacks_waken)):
            threading.Thread(target=self._forever, args=(step, waken), name=step.__name__, daemon=True).start()

    def wake(self) -> None:
        """Something was submitted or cancelled."""
        self._answers_waken.set()

    def status(self) -> dict[str, object]:
        """Whether a worker is up, and the last error since the last success."""
        return {"worker": self._worker is not None, "last_error": self._last_error}

    def _forever(self, step: Callable[[], bool], waken: threading.Event) -> None:
        while True:
            try:
                if not step():
                    waken.wait(POLL_S)
                    waken.clear()
                self._last_error = None
            # The outer edge of a thread: a catalog that is away for a moment must not end it, and nothing is lost.
            except Exception as error:
                self._last_error = f"{type(error).__name__}: {error}"
                logger.exception("Long answers of %s wait; trying again.", self._name)
                time.sleep(POLL_S)

    def _answer_next(self) -> bool:
        """True when there was one to answer."""
        now = _now()
        job = next((job for job in self._to_do() if job.may_start(now)), None)
        if job is None:
            self._rest()
            return False
        if job.status == RUNNING:
            # Claimed by this actor before it was started anew, or before it lost sight of the catalog.
            why = "the actor that saw to it was started anew, or could not reach the catalog"
            job = answer_jobs.lost(job, why=why, at=_now(), keep=self._limits.keep)
            if not self._change(job) or not job.is_open:
                return True
        self._attempt(job)
        self._idle_since_s = time.monotonic()
        return True

    def _attempt(self, job: AnswerJob) -> None:
        number = job.version or catalog().aliases(self._name).get("champion")
        if number is None:
            why = "No version serves yet; promote one, then ask again."
            self._change(answer_jobs.failed(job, why, at=_now(), keep=self._limits.keep), kind="answer_job_ended")
            return
        version = catalog().version(self._name, number)
        job = answer_jobs.claimed(job, version=version.number, at=_now())
        if not self._change(job):
            return
        bundle = BundleRef(uri=version.bundle_uri, hash=version.bundle_hash)
        try:
            self._follow(job, self._up().call.remote("answer", job, bundle))
        except ray.exceptions.RayError as error:
            self._stop_worker()
            self._lose(job, error)
        except BaseException:
            # The catalog is away: without this the worker would go on beside the next attempt.
            self._stop_worker()
            raise

    def _follow(self, job: AnswerJob, answer: Any) -> None:
        """Until the worker has answered, or nobody wants it any more."""
        while True:
            finished, _ = ray.wait([answer], timeout=PROGRESS_EVERY_S)
            if finished:
                self._end(job, ray.get(answer))
                return
            num_done = ray.get(self._worker.call.remote("progress"))
            further = answer_jobs.progressed(job, num_done)
            if not self._change(further):
                # Cancelled, or somebody else sees to it: this work is for nobody.
                self._stop_worker()
                return
            job = further

    def _lose(self, job: AnswerJob, error: ray.exceptions.RayError) -> None:
        newest = catalog().answer_job(self._name, job.job_id)
        if (newest.status, newest.attempt) == (RUNNING, job.attempt):
            again = answer_jobs.lost(newest, why=_why(error), at=_now(), keep=self._limits.keep)
            self._change(again, kind="answer_job_lost", payload={"why": str(error)})

    def _end(self, job: AnswerJob, outcome: dict[str, Any]) -> None:
        now, keep = _now(), self._limits.keep
        if "error" in outcome:
            ended = answer_jobs.failed(job, outcome["error"], at=now, keep=keep)
        else:
            ended = answer_jobs.done(job, **outcome, at=now, keep=keep)
        self._change(ended, kind="answer_job_ended")
        self._callbacks_waken.set()

    def _to_do(self) -> list[AnswerJob]:
        return catalog().answer_jobs_to_do(self._name, at=_now())

    def _change(self, job: AnswerJob, **journalled: Any) -> bool:
        return catalog().change_answer_job(job, by=self._by, at=_now(), **journalled)

    def _up(self) -> Any:
        if self._worker is None:
            made = ray.remote(ByName).options(num_cpus=0, max_concurrency=2)
            self._worker = made.remote(self._worker_class, self._arguments)
        return self._worker

    def _rest(self) -> None:
        if self._worker is not None and time.monotonic() - self._idle_since_s > IDLE_S:
            self._stop_worker()

    def _stop_worker(self) -> None:
        if self._worker is not None:
            ray.kill(self._worker)
            self._worker = None


def _why(error: ray.exceptions.RayError) -> str:
    """What the caller is told: nothing about the inside, which the journal has."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"the worker failed with {type(error.cause).__name__}, and its log says why"
    return "the worker's process ended"


def _now() -> datetime:
    return datetime.now(UTC)
