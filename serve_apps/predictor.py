"""Answers for one workload: holds the versions, follows the routing record, logs before it answers.

Reads:  bundles; the routing record that it is handed
Writes: write-ahead segments: predictions, shadows, labels
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from heliostat.errors import NotFoundError
from heliostat.ids import prediction_ids, scoped
from heliostat.records import BundleRef, KeyRecord, Route
from heliostat.serving.answer_cache import AnswerCache
from heliostat.serving.authentication import Keyring
from heliostat.serving.labels import Label
from heliostat.serving.problem import ExpiredError, TooLargeError, UnavailableError
from heliostat.serving.revisions import Revisions
from heliostat.serving.routing import route_of, versions
from heliostat.serving.rows import Rows
from serve_apps.access import Access
from serve_apps.config import PredictorConfig
from serve_apps.engine.admission import Admission
from serve_apps.engine.batching import MicroBatcher
from serve_apps.engine.log import ReplicaLog
from serve_apps.engine.scoring import Answer, Question, answer_batch
from serve_apps.engine.shadow import Shadow
from serve_apps.engine.versions import Live, LoadedVersion, Scorer, load_versions, refuse_unloadable
from serve_apps.failures import Failures

logger = logging.getLogger(__name__)


class Predictor:
    """One replica's work, free of HTTP and of Ray; made on the event loop that it runs on."""

    def __init__(self, config: PredictorConfig) -> None:
        self.config = config
        self.live = Live(route=Route(), keyring=Keyring(config.workload))
        self.access = Access(lambda: self.live.keyring, config.limits)
        self.started_at = datetime.now(UTC)
        self.last_error: dict[str, str] | None = None
        self.failures = Failures()
        self._has_record = False
        self._logged, self._task = config.contract.logged, config.contract.task
        self.revisions = Revisions(config.contract, docs=f"/{config.workload}/docs")
        self._newest: Mapping[str, Any] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._retrying: asyncio.Future[None] | None = None
        self._scorer = Scorer(cache=config.limits.cache, shape=self._task.shape)
        self._log = ReplicaLog(config)
        self._shadow = Shadow(config)
        self._changing = asyncio.Lock()
        self.admission = Admission(config)
        self._batcher: MicroBatcher[Question, Answer] = MicroBatcher(
            self._answer_batch,
            size_of=lambda question: question.rows.num_rows,
            max_size=config.max_rows_per_batch,
            max_inline=config.max_rows_inline,
            refuse=self._refuse_expired,
            released=self._shadow.release,
        )

    async def reconfigure(self, record: Mapping[str, Any]) -> None:
        """The routing record is in force, or else the route before stays, `last_error` says why, and it is tried again.

        Only the first record raises: without it there is nothing to stay with. An older epoch changes nothing; the
        keys of a record count at once, whatever becomes of its route.
        """
        self._newest = record
        async with self._changing:
            try:
                await self._follow(record)
            # The outer edge of a bundle's own code: whatever it raised, the version that answers now goes on.
            except Exception as error:
                if not self._has_record:
                    raise
                logger.exception("The routing record of epoch %s is not in force.", record.get("epoch"))
                self.last_error = {"at": datetime.now(UTC).isoformat(), "detail": f"{type(error).__name__}: {error}"}
                # Serve hands a record over once; a store that was away for a moment must not leave a replica behind.
                self._retry = asyncio.get_running_loop().call_later(self.config.retry_after_s, self._try_again, record)
            else:
                self._has_record = True

    def _try_again(self, record: Mapping[str, Any]) -> None:
        if record is self._newest:
            self._retrying = asyncio.ensure_future(self.reconfigure(record))

    async def _follow(self, record: Mapping[str, Any]) -> None:
        route = route_of(record)
        if route.epoch < self.live.route.epoch:
            logger.warning("Refused a routing record of epoch %d; %d is in force.", route.epoch, self.live.route.epoch)
            return
        keyring = Keyring.of(self.config.workload, map(KeyRecord.from_json, record.get("keys", ())))
        self.live = replace(self.live, keyring=keyring)
        loaded = await self._load(route, bundle_by_number=bundles_of(record))
        # One assignment, so that every batch sees the old record or the new one.
        self.live = Live(route=route, keyring=keyring, version_by_number=loaded)
        self.last_error = None

    async def _load(self, route: Route, *, bundle_by_number: Mapping[int, BundleRef]) -> dict[int, LoadedVersion]:
        """Every version of the route, ready to answer."""
        return await asyncio.to_thread(
            load_versions,
            versions(route),
            bundle_by_number=bundle_by_number,
            held=self.live.version_by_number,
            contract=self.config.contract,
            device=self.config.device,
        )

    async def refuse_unloadable(self, number: int, bundle: BundleRef) -> None:
        """CatalogError when a replica could not load the version."""
        held, config = self.live.version_by_number.get(number), self.config
        refused = partial(refuse_unloadable, number, bundle, held=held, contract=config.contract, device=config.device)
        await asyncio.get_running_loop().run_in_executor(self._beside, refused)

    @property
    def _beside(self) -> Executor | None:
        """What runs work that the event loop must not wait for; None for its own threads."""
        return None

    async def predict(
        self,
        rows: Rows,
        *,
        caller: str,
        request_id: str,
        received_at: datetime,
        started_s: float,
        deadline_s: float,
        version: int | None = None,
    ) -> tuple[list[str], Answer]:
        """The ids and the answers of the rows, which are logged by then.

        NotFoundError when the version is not held, OverloadedError when the queue is full or would take too long,
        ExpiredError when the deadline passed before the rows' turn came; then no model ran and nothing is logged.
        """
        self.refuse_too_many(rows.num_rows)
        if version is not None and version not in self.live.version_by_number:
            raise NotFoundError(f"Version {version} is not served; served are {sorted(self.live.version_by_number)}.")
        # Bound to the caller: nobody can take the id of another's row, and have that row dropped as a copy.
        ids = prediction_ids(scoped(caller, request_id), rows.event_at)
        question = Question(
            rows=rows,
            ids=ids,
            request_id=request_id,
            received_at=received_at,
            started_s=started_s,
            deadline_s=deadline_s,
            version=version,
        )
        expired = self._refuse_expired(question)
        if expired is not None:
            raise expired
        self.admission.refuse_overload(rows.num_rows, ahead=self._batcher.size_ahead, deadline_s=deadline_s)
        if self._batcher.is_next(rows.num_rows):  # a timer would cost more than the queue, and could not fire
            return ids, await self._batcher.submit(question)
        return ids, await self._in_time(question)

    def refuse_when_full(self, deadline_s: float) -> None:
        """OverloadedError when not even one row more would be taken: to be asked before a body is read."""
        if self._batcher.size_ahead:
            self.admission.refuse_overload(1, ahead=self._batcher.size_ahead, deadline_s=deadline_s)

    async def _in_time(self, question: Question) -> Answer:
        limit = asyncio.timeout(question.deadline_s - time.perf_counter())
        try:
            async with limit:
                return await self._batcher.submit(question)
        except TimeoutError as error:
            if not limit.expired():
                raise
            self.admission.num_shed += 1
            raise ExpiredError(
                f"The request was not answered within {question.deadline_s - question.started_s:g} s and was dropped; "
                "its rows are logged if the model had begun. Send it again with the same X-Request-Id."
            ) from error

    def _refuse_expired(self, question: Question) -> ExpiredError | None:
        return self.admission.refuse_expired(started_s=question.started_s, deadline_s=question.deadline_s)

    def record_labels(self, labels: Sequence[Label], *, received_at: datetime, source: str) -> None:
        """The labels are logged when this returns."""
        self._log.append_labels(labels, received_at=received_at, source=source)

    def refuse_too_many(self, num_rows: int) -> None:
        """TooLargeError when one request may not have so many rows."""
        limit = self.config.limits.max_rows_per_request
        if num_rows > limit:
            raise TooLargeError(f"A request may have {limit} rows; got {num_rows}. Send them in several requests.")

    @property
    def versions(self) -> list[int]:
        """The numbers of the versions that a caller may name."""
        return sorted(self.live.version_by_number)

    @property
    def is_ready(self) -> bool:
        """True when there is a champion that can answer."""
        return self.live.route.champion in self.live.version_by_number

    @property
    def cache(self) -> AnswerCache | None:
        """The answers that are given again, where the workload asks for that."""
        return self._scorer.cache

    def status(self) -> dict[str, Any]:
        """What this replica holds and does."""
        live = self.live
        return {
            "workload": self.config.workload,
            "ready": self.is_ready,
            "route": live.route.to_json(),
            "versions": {
                str(number): version.bundle.hash for number, version in sorted(live.version_by_number.items())
            },
            "num_errors_by_version": {
                # Copied in one step: a batch beside the event loop may be counting.
                str(number): num_errors
                for number, num_errors in dict(self._scorer.num_errors_by_version).items()
            },
            "breakers": self._scorer.breaker_states(live),
            "num_shed": self.admission.num_shed,
            "num_failed_by_status": self.failures.num_by_status,
            "shadow": self._shadow.status(),
            "cache": None if self.cache is None else self.cache.status(),
            "last_error": self.last_error,
            "revisions": self.revisions.status(at=datetime.now(UTC)),
            "started_at": self.started_at.isoformat(),
            "uptime_s": round((datetime.now(UTC) - self.started_at).total_seconds(), 3),
        }

    def close(self) -> None:
        """Ends the running batch and seals what was logged."""
        if self._retry is not None:
            self._retry.cancel()
        self.failures.close()
        self._batcher.close()
        self._shadow.close()
        self._log.close()

    def _answer_batch(self, questions: Sequence[Question]) -> list[Answer | UnavailableError]:
        return self._answered(questions, self._log.append_predictions)

    def _answered(
        self, questions: Sequence[Question], append: Callable[[dict[str, Any]], None]
    ) -> list[Answer | UnavailableError]:
        started_s = time.perf_counter()
        answers = answer_batch(
            questions,
            self.live,
            scorer=self._scorer,
            default=self.config.limits.default,
            columns=self._logged,
            task=self._task,
            append=append,
            offer=self._shadow.offer,
        )
        num_rows = sum(question.rows.num_rows for question in questions)
        self.admission.answered(
            num_requests=len(questions), num_rows=num_rows, first_s=questions[0].started_s, started_s=started_s
        )
        self._batcher.max_size = self.admission.rows_per_batch
        self._batcher.max_inline = self.admission.rows_inline
        return answers


def bundles_of(record: Mapping[str, Any]) -> dict[int, BundleRef]:
    """The bundle of every version that a routing record names."""
    bundles = record.get("bundles") or {}
    return {int(number): BundleRef(uri=bundle["uri"], hash=bundle["hash"]) for number, bundle in bundles.items()}
