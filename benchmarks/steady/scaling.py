"""Scaling with the load: the first request after none, requests while the last replica goes, and a burst."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import numpy as np

from actors import handles
from benchmarks.steady.installation import ROW, Toys
from benchmarks.steady.load import Figures, Sent
from benchmarks.steady.replicas import pids
from cluster import applications
from cluster.processes import listeners
from heliostat.records import KeyTerms

MODULE, NAME = "tests.toy_scaling", "toy-scaling"
LATENCY_MODULE, LATENCY_NAME = "tests.toy_latency", "toy-latency"
NAMES = ("cold-start", "trickle", "burst", "limit", "latency")
NUM_COLD_STARTS = 5
TRICKLE_S = 150.0
# Around the time after which this workload has no replica: some come before, some while it goes, some after.
TRICKLE_GAPS_S = (4.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0)
LIMIT_PER_S, LIMIT_S, LIMIT_CALLERS = 20.0, 15.0, 12
BURST = ((4, 15.0), (8, 20.0), (16, 25.0), (4, 25.0))


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """One request without a replica: when its process was there, when that listened, when the answer came."""

    process_s: float
    listening_s: float
    answered_s: float
    failure: str


class Caller:
    """Sends one request at a time, each once, each on a connection of its own."""

    def __init__(self, toys: Toys, name: str = NAME, *, key: str | None = None) -> None:
        self.toys, self.name = toys, name
        self._url = f"{toys.settings.http_url}/{name}/v1/predict"
        # Longer than the workload's own 30 s: a machine that is busy must not decide what is measured here.
        self._headers = {"Authorization": f"Bearer {key or toys.key('caller')}", "X-Request-Timeout-Seconds": "55"}

    async def ask(self) -> Sent:
        """One answer, or why there was none."""
        started_s, failure, ids = time.perf_counter(), "", []
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers) as session,
                session.post(self._url, json={"rows": [{**ROW, "reading": f"{time.monotonic_ns()}"}]}) as answer,
            ):
                if answer.status == 200:
                    ids = (await answer.json())["ids"]
                else:
                    failure = f"{answer.status} {(await answer.text())[:120]}"
        except (TimeoutError, aiohttp.ClientError) as error:
            failure = type(error).__name__
        elapsed_s = time.perf_counter() - started_s
        return Sent(sent_s=started_s, elapsed_s=elapsed_s, failure=failure, ids=tuple(ids))

    def replicas(self) -> list[int]:
        """The processes of the workload's replicas."""
        return pids(self.toys.settings, f"ray::ServeReplica:{self.name}")

    async def num_running(self) -> int:
        """How many replicas Serve counts as running; one that was told to go is none, though it may still be there."""
        found = await asyncio.to_thread(applications.details, self.toys.settings)
        (deployment,) = found["applications"][self.name]["deployments"].values()
        return sum(replica["state"] == "RUNNING" for replica in deployment["replicas"])

    async def until_none(self) -> None:
        """No replica is left."""
        while self.replicas():
            await asyncio.sleep(0.5)
        await asyncio.sleep(1.0)

    async def cold_start(self) -> ColdStart:
        """One request when there is no replica."""
        started_s = time.perf_counter()
        asking = asyncio.create_task(self.ask())
        seen: dict[str, float] = {}
        first, last = self.toys.settings.ports.direct_http
        while not asking.done():
            if "process" not in seen and self.replicas():
                seen["process"] = time.perf_counter() - started_s
            if "listening" not in seen and await asyncio.to_thread(listeners, first, last):
                seen["listening"] = time.perf_counter() - started_s
            await asyncio.sleep(0.05)
        sent = await asking
        return ColdStart(
            process_s=seen.get("process", np.nan),
            listening_s=seen.get("listening", sent.elapsed_s),
            answered_s=sent.elapsed_s,
            failure=sent.failure,
        )


async def measure(toys: Toys, versions: Sequence[int], *, only: Sequence[str] | None) -> list[str]:
    """The lines for each case."""
    caller = Caller(toys)
    cases = {"cold-start": _cold_starts, "trickle": _trickle, "burst": _burst, "limit": _limit, "latency": _latency}
    lines: list[str] = []
    for name in only or NAMES:
        said = await cases[name](caller)
        print("\n".join(said), flush=True)
        lines += [*said, ""]
    return lines


async def _cold_starts(caller: Caller) -> list[str]:
    starts: list[ColdStart] = []
    for _ in range(NUM_COLD_STARTS):
        await caller.until_none()
        starts.append(await caller.cold_start())
    parts = np.array([[each.process_s, each.listening_s, each.answered_s] for each in starts])
    process_s, listening_s, answered_s = np.median(parts, axis=0)
    failures = [each.failure for each in starts if each.failure]
    all_s = ", ".join(f"{each.answered_s:.1f}" for each in starts)
    return [
        f"Cold start, {len(starts)} times: the held request was answered after {all_s} s (median {answered_s:.1f} s), "
        f"**{len(failures)} failed**. Of the median, {process_s:.1f} s until the process is there, "
        f"{listening_s - process_s:.1f} s until it listens (imports, bundle, warm-up), "
        f"{answered_s - listening_s:.1f} s until the answer. {'; '.join(failures)}"
    ]


async def _trickle(caller: Caller) -> list[str]:
    sent: list[Sent] = []
    ended_s, num_none = time.perf_counter() + TRICKLE_S, 0
    for gap_s in itertools.cycle(TRICKLE_GAPS_S):
        sent.append(await caller.ask())
        if time.perf_counter() > ended_s:
            break
        await asyncio.sleep(gap_s)
        num_none += not await caller.num_running()
    seen = Figures.of(sent)
    return [
        f"One request every {min(TRICKLE_GAPS_S):g} to {max(TRICKLE_GAPS_S):g} s, while the last replica goes after "
        f"5 s without one: {seen.num_sent} sent, {num_none} of them when no replica was running, "
        f"**{seen.num_failed} failed**, longest {seen.max_ms / 1000:.1f} s. {seen.failures or ''}"
    ]


async def _limit(caller: Caller) -> list[str]:
    """A key with a limit asks beside callers without one, who keep more than one replica up."""
    key = handles.catalog().create_key(
        f"limited-{time.time_ns()}",
        "caller",
        terms=KeyTerms(requests_per_s=LIMIT_PER_S, burst_requests=int(LIMIT_PER_S)),
        workload=caller.name,
        by="measured",
        at=datetime.now(UTC),
    )
    await asyncio.to_thread(handles.publisher().publish)
    ended_s = time.perf_counter() + 30.0 + LIMIT_S
    others = [asyncio.create_task(_ask_until(caller, ended_s)) for _ in range(LIMIT_CALLERS)]
    await asyncio.sleep(30.0)
    limited, running = Caller(caller.toys, caller.name, key=key), await caller.num_running()
    asking = [asyncio.create_task(_ask_until(limited, ended_s)) for _ in range(4)]
    sent = [one for each in await asyncio.gather(*asking) for one in each]
    await asyncio.gather(*others)
    num_answered, num_refused = sum(not one.failure for one in sent), sum(one.failure[:3] == "429" for one in sent)
    return [
        f"A key with {LIMIT_PER_S:g} requests/s and {LIMIT_PER_S:g} at once, for {LIMIT_S:g} s at {running} replicas: "
        f"{num_answered} answered ({LIMIT_PER_S * (LIMIT_S + 1):g} are allowed), {num_refused} refused with 429."
    ]


async def _latency(caller: Caller) -> list[str]:
    """The same burst at a workload that scales by latency alone."""
    await asyncio.to_thread(caller.toys.versions, LATENCY_MODULE)
    return ["By latency alone (target 60 ms):", "", *await _burst(Caller(caller.toys, LATENCY_NAME))]


async def _burst(caller: Caller) -> list[str]:
    await caller.ask()
    lines = [
        "| callers at once | for | replicas at the end (most) | sent | failed | p50 / p99 / max ms |",
        "|---|---|---|---|---|---|",
    ]
    for num_callers, span_s in BURST:
        most, sent = 0, []
        ended_s = time.perf_counter() + span_s
        callers = [asyncio.create_task(_ask_until(caller, ended_s)) for _ in range(num_callers)]
        while time.perf_counter() < ended_s:
            most = max(most, len(caller.replicas()))
            await asyncio.sleep(1.0)
        at_end = len(caller.replicas())
        for each in await asyncio.gather(*callers):
            sent += each
        seen = Figures.of(sent)
        times = f"{seen.p50_ms:.0f} / {seen.p99_ms:.0f} / {seen.max_ms:.0f}"
        failed = f"**{seen.num_failed}** {seen.failures or ''}"
        lines.append(f"| {num_callers} | {span_s:.0f} s | {at_end} ({most}) | {seen.num_sent} | {failed} | {times} |")
    return lines


async def _ask_until(caller: Caller, ended_s: float) -> list[Sent]:
    sent = []
    while time.perf_counter() < ended_s:
        sent.append(await caller.ask())
    return sent
