"""Requests at a steady rate, each sent once: nothing here repeats a request that failed."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request and what became of it; `failure` is empty when it was answered with 200."""

    sent_s: float
    elapsed_s: float
    failure: str
    ids: tuple[str, ...]


@dataclass(kw_only=True)
class Load:
    """Sends `requests_per_s` POSTs from a schedule, whether or not those before were answered.

    `fresh` opens a connection for each request; otherwise connections are kept and used again.
    """

    url: str
    key: str
    make_rows: Callable[[int], list[dict[str, Any]]]
    requests_per_s: float
    fresh: bool
    sent: list[Sent] = field(default_factory=list)
    _is_over: bool = False

    async def run(self) -> None:
        """Sends until `stop`; returns when every answer is there."""
        connector = aiohttp.TCPConnector(limit=0, force_close=self.fresh)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            started_s, number, asked = time.perf_counter(), 0, set()
            while not self._is_over:
                task = asyncio.create_task(self._ask(session, number))
                asked.add(task)
                task.add_done_callback(asked.discard)
                number += 1
                await asyncio.sleep(started_s + number / self.requests_per_s - time.perf_counter())
            await asyncio.gather(*asked)

    def stop(self) -> None:
        """No further request is sent."""
        self._is_over = True

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        body = json.dumps({"rows": self.make_rows(number)})
        started_s = time.perf_counter()
        ids: tuple[str, ...] = ()
        try:
            async with session.post(self.url, data=body) as answer:
                text = await answer.text()
                failure = "" if answer.status == 200 else f"{answer.status} {text[:120]}"
                ids = tuple(json.loads(text)["ids"]) if answer.status == 200 else ()
        except (TimeoutError, aiohttp.ClientError) as error:
            failure = type(error).__name__
        elapsed_s = time.perf_counter() - started_s
        self.sent.append(Sent(sent_s=started_s, elapsed_s=elapsed_s, failure=failure, ids=ids))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What callers saw."""

    num_sent: int
    failures: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def num_failed(self) -> int:
        """Requests that were not answered with 200."""
        return sum(self.failures.values())

    @classmethod
    def of(cls, sent: list[Sent]) -> "Figures":
        """The figures of some requests; latencies are those of the answered ones."""
        answered_ms = np.array([each.elapsed_s * 1000 for each in sent if not each.failure] or [np.nan])
        failures: dict[str, int] = {}
        for each in sent:
            if each.failure:
                failures[each.failure] = failures.get(each.failure, 0) + 1
        p50_ms, p99_ms = np.percentile(answered_ms, [50, 99])
        return cls(
            num_sent=len(sent),
            failures=failures,
            p50_ms=float(p50_ms),
            p99_ms=float(p99_ms),
            max_ms=float(answered_ms.max()),
        )
