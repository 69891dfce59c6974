"""Faults and changes under a steady load of POSTs that nobody repeats."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa

from actors import handles
from benchmarks.steady.installation import ROW, Toys
from benchmarks.steady.load import Figures, Load, Sent
from benchmarks.steady.replicas import Replicas, pids
from cluster import submit
from heliostat.store.lake import Lake

MODULE, NAME = "tests.toy_steady", "toy-steady"
NAMES = (
    "nothing",
    "kill",
    "upgrade",
    "broken-constructor",
    "broken-encode",
    "broken-bundle",
    "promote",
    "rollback",
    "ingress",
)
REQUESTS_PER_S = 20.0  # for each kind of connection
LARGE_REQUESTS_PER_S = 1.0
NUM_LARGE_ROWS = 3_500  # about 300 KB of JSON, above the ingress's buffer
NUM_KILLS = 3
Happen = Callable[[], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was seen of one kind of load while one thing happened."""

    name: str
    load: str
    figures: Figures
    num_lost: int
    num_twice: int
    num_copies: int
    said: str


class Faults:
    """The things that happen, each a method that returns what there is to say of it when it is over."""

    def __init__(self, toys: Toys, versions: Sequence[int]) -> None:
        self._toys, (self._first, self._second) = toys, versions
        self._replicas = Replicas(toys.settings, NAME, key=toys.key("caller"), row=ROW)
        self._tree = toys.changed_tree("good", "tests/toy_steady.py", '"""The toy', '"""Changed. The toy')

    def of(self, name: str) -> Happen:
        """The thing of that name."""
        happen: Happen = getattr(self, name.replace("-", "_"))
        return happen

    async def nothing(self) -> str:
        """Nothing happens."""
        await asyncio.sleep(10)
        return ""

    async def kill(self) -> str:
        """One replica after the other is killed; each time both answer again before the next."""
        back_s = []
        for _ in range(NUM_KILLS):
            old = self._pids()
            os.kill(old[0], signal.SIGKILL)
            back_s.append(await self._until_new(lambda new, old=old: old[0] not in new and len(new) == 2))
            await asyncio.sleep(1)
        return f"{NUM_KILLS} times; both replicas back after {', '.join(f'{each:.1f}' for each in back_s)} s"

    async def upgrade(self) -> str:
        """Changed code is deployed; every replica is another process then."""
        old, started_s = self._pids(), time.perf_counter()
        await self._job("deploy", tree=self._tree)
        await self._until_new(lambda new: len(new) == 2 and not set(new) & set(old))
        return f"all replicas new {time.perf_counter() - started_s:.1f} s after the job was submitted"

    async def broken_constructor(self) -> str:
        """Code whose replicas cannot be made is deployed, then good code."""
        tree = self._toys.changed_tree(
            "broken",
            "serve_apps/predictor.py",
            "        self.config = config\n",
            "        raise RuntimeError('broken')\n",
        )
        return await self._refused(tree)

    async def broken_encode(self) -> str:
        """A workload whose `encode` fails is deployed, then good code."""
        tree = self._toys.changed_tree(
            "unfit", "tests/toy_steady.py", "    time.sleep(BATCH_S)", "    raise ValueError"
        )
        return await self._refused(tree)

    async def broken_bundle(self) -> str:
        """A version is promoted whose bundle was damaged after its training; then the one before again."""
        bundle = Path(handles.catalog().version(NAME, self._second).bundle_uri)
        damaged = next(path for path in sorted(bundle.rglob("*")) if path.suffix == ".safetensors")
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        try:
            answer = await self._steer("promote", {"version": self._second})
            await asyncio.sleep(3)
            versions = await self._replicas.versions()
        finally:
            damaged.write_bytes(whole)
        await self._steer("promote", {"version": self._first})
        return f"promote answered {answer}; replicas went on with {sorted(set(versions))}"

    async def promote(self) -> str:
        """Another version becomes champion."""
        return await self._change("promote", {"version": self._second}, self._second)

    async def rollback(self) -> str:
        """The one before becomes champion again."""
        return await self._change("rollback", {}, self._first)

    async def ingress(self) -> str:
        """HAProxy is killed; nobody can connect until it is started anew."""
        for pid in pids(self._toys.settings, "/"):
            if "haproxy -db" in _command(pid):
                os.kill(pid, signal.SIGKILL)
        started_s = time.perf_counter()
        while not await self._answers():
            await asyncio.sleep(0.1)
        return f"answered again after {time.perf_counter() - started_s:.1f} s"

    def _pids(self) -> list[int]:
        return sorted(pids(self._toys.settings, f"ray::ServeReplica:{NAME}"))

    async def _until_new(self, holds: Callable[[list[int]], bool]) -> float:
        started_s = time.perf_counter()
        while not holds(self._pids()):
            await asyncio.sleep(0.2)
        await self._replicas.until(lambda versions: len(versions) >= 2, timeout_s=60.0)
        return time.perf_counter() - started_s

    async def _job(self, verb: str, **how: Any) -> submit.JobState:
        options = ("--clock", "replayed") if verb == "deploy" else ()
        identifier = await asyncio.to_thread(self._toys.start, verb, MODULE, *options, **how)
        return await asyncio.to_thread(submit.wait, self._toys.settings, identifier, timeout_s=240.0)

    async def _refused(self, tree: Any) -> str:
        old, started_s = self._pids(), time.perf_counter()
        state = await self._job("deploy", tree=tree)
        took_s, stayed = time.perf_counter() - started_s, self._pids() == old
        await self._job("deploy", tree=self._tree)
        kept = "the replicas before went on" if stayed else "replicas were replaced"
        return f"jobs.deploy ended as {state.status} after {took_s:.0f} s; {kept}"

    async def _steer(self, verb: str, document: dict[str, Any]) -> int:
        url = f"{self._toys.settings.http_url}/{NAME}/v1/{verb}"
        headers = {"Authorization": f"Bearer {self._toys.key('operator')}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=document) as answer:
            await answer.read()
            return answer.status

    async def _change(self, verb: str, document: dict[str, Any], version: int) -> str:
        old = self._pids()
        steering = asyncio.create_task(self._steer(verb, document))
        in_force_s = await self._replicas.until(
            lambda versions: len(versions) == len(old) and set(versions) == {version}, timeout_s=60.0
        )
        status = await steering
        same = "the same processes" if self._pids() == old else "OTHER PROCESSES"
        return f"answered {status}; in force on every replica after {in_force_s:.2f} s, {same}"

    async def _answers(self) -> bool:
        url = f"{self._toys.settings.http_url}/{NAME}/v2/health/ready"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


async def measure(toys: Toys, versions: Sequence[int], *, only: Sequence[str] | None) -> list[str]:
    """The lines of a table with one line a case and kind of load."""
    faults = Faults(toys, versions)
    lines = [
        "| what happened | load | sent | failed | lost or twice in the lake | p50 / p99 / max ms | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in only or NAMES:
        for case in await _case(toys, name, faults.of(name)):
            lines.append(_line(case))
            print(lines[-1], flush=True)
    return lines


async def _case(toys: Toys, name: str, happen: Happen) -> list[Case]:
    loads = {"new connections": _load(toys, fresh=True), "kept connections": _load(toys, fresh=False)}
    if name == "kill":
        loads["bodies of 300 KB"] = _load(toys, fresh=True, is_large=True)
    recorder = handles.recorder(NAME)
    copies_before = int(recorder.status()["num_duplicates"])  # type: ignore[call-overload]
    running = [asyncio.create_task(load.run()) for load in loads.values()]
    await asyncio.sleep(3)
    said = await happen()
    await asyncio.sleep(5)
    for load in loads.values():
        load.stop()
    await asyncio.gather(*running)
    await asyncio.to_thread(recorder.drain)
    num_copies = int(recorder.status()["num_duplicates"])  # type: ignore[call-overload]
    copies = num_copies - copies_before if num_copies >= copies_before else num_copies
    counts = Counter(_ids_in_lake(toys))
    return [_seen(name, kind, load.sent, counts, copies=copies, said=said) for kind, load in loads.items()]


def _seen(name: str, kind: str, sent: list[Sent], counts: Counter[str], *, copies: int, said: str) -> Case:
    ids = [identifier for each in sent for identifier in each.ids]
    return Case(
        name=name,
        load=kind,
        figures=Figures.of(sent),
        num_lost=sum(counts[identifier] == 0 for identifier in ids),
        num_twice=sum(counts[identifier] > 1 for identifier in ids),
        num_copies=copies,
        said=said,
    )


def _load(toys: Toys, *, fresh: bool, is_large: bool = False) -> Load:
    kind = f"{time.monotonic_ns()}-{fresh}-{is_large}"
    num_rows = NUM_LARGE_ROWS if is_large else 1
    return Load(
        url=f"{toys.settings.http_url}/{NAME}/v1/predict",
        key=toys.key("caller"),
        make_rows=lambda number: [{**ROW, "reading": f"{kind}-{number}-{row}"} for row in range(num_rows)],
        requests_per_s=LARGE_REQUESTS_PER_S if is_large else REQUESTS_PER_S,
        fresh=fresh,
    )


def _ids_in_lake(toys: Toys) -> list[str]:
    schema = pa.schema([("id", pa.string())])
    table = Lake(toys.settings.lake_uri).read(NAME, "predictions", columns=["id"], schema=schema)
    ids: list[str] = table["id"].to_pylist()
    return ids


def _line(case: Case) -> str:
    seen = case.figures
    why = "; ".join(f"{num} times {reason}" for reason, num in seen.failures.items())
    copies = f"{case.num_copies} copies dropped" if case.num_copies else ""
    said = "; ".join(filter(None, [case.said, copies, why]))
    times = f"{seen.p50_ms:.0f} / {seen.p99_ms:.0f} / {seen.max_ms:.0f}"
    return (
        f"| {case.name} | {case.load} | {seen.num_sent} | **{seen.num_failed}** "
        f"| {case.num_lost} / {case.num_twice} | {times} | {said} |"
    )


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()
