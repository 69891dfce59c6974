"""A client of the HTTP endpoint as an application would write one: asks, keeps the ids, tells the labels later."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from heliostat.traffic import KnownLabel, Request
from jobs import _entry, _local_keys

REQUEST_TIMEOUT_S = 60.0


@dataclass
class Tally:
    """What was sent and what came back."""

    num_requests: int = 0
    num_rows: int = 0
    num_answered: int = 0
    num_failed: int = 0
    num_degraded: int = 0
    num_labels: int = 0
    num_label_requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """The counts, and the kinds of failures."""
        return {**self.__dict__, "failures": dict(self.failures)}


class Caller:
    """Sends requests and labels; never repeats a request that failed, so that failures are seen."""

    def __init__(self, job: _entry.Job) -> None:
        self.tally = Tally()
        self._url = f"{job.settings.http_url}/{job.workload.name}"
        self._workload = job.workload
        self._key = _local_keys.read(job.settings, "caller")
        self._slots = asyncio.Semaphore(job.options.connections)
        self._id_by_key: dict[str, str] = {}

    async def __aenter__(self) -> "Caller":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, requests: Sequence[Request]) -> None:
        """Send the requests side by side, and wait for all answers."""
        await asyncio.gather(*(self._ask_one(request) for request in requests))

    async def tell(self, labels: Sequence[KnownLabel]) -> None:
        """Send the labels of rows that were answered, in one request."""
        told = [
            {"id": identifier, "value": self._workload.task.value(label.value), "at": label.at}
            for label in labels
            if (identifier := self._id_by_key.pop(label.key, None)) is not None
        ]
        if not told:
            return
        self.tally.num_label_requests += 1
        if await self._post("v1/labels", {"labels": told}, request_id=None) is not None:
            self.tally.num_labels += len(told)

    async def _ask_one(self, request: Request) -> None:
        workload = self._workload
        rows = [
            {
                **{column.name: row[column.name] for column in workload.columns},
                workload.key: row["key"],
                workload.event_time: row["event_at"],
                workload.due_time or "due_time": row["due_at"],
            }
            for row in request.rows
        ]
        self.tally.num_requests += 1
        self.tally.num_rows += len(rows)
        # The id makes a second run of this replay add nothing: every row keeps its prediction id.
        request_id = f"replay/{workload.name}/{request.at:%Y-%m-%dT%H:%M}"
        async with self._slots:
            answer = await self._post("v1/predict", {"rows": rows}, request_id=request_id)
        if answer is None:
            return
        self.tally.num_answered += 1
        self.tally.num_degraded += bool(answer["degraded"])
        self._id_by_key.update(zip((row["key"] for row in request.rows), answer["ids"], strict=True))

    async def _post(self, path: str, body: dict[str, Any], *, request_id: str | None) -> dict[str, Any] | None:
        """The answer, or None after counting the failure."""
        headers = {} if request_id is None else {"X-Request-Id": request_id}
        data = orjson.dumps(body, option=orjson.OPT_UTC_Z)
        try:
            async with self._session.post(f"{self._url}/{path}", data=data, headers=headers) as response:
                payload = await response.read()
                if response.status == 200:
                    return dict(orjson.loads(payload))
                self._failed(f"{response.status} {payload[:200].decode(errors='replace')}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._failed(f"{type(error).__name__}: {error}")
        return None

    def _failed(self, what: str) -> None:
        self.tally.num_failed += 1
        self.tally.failures[what] += 1
