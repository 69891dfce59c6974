"""What happens to an installation under load: each a method that says, when it is over, what there is to say."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from actors import handles
from benchmarks.steady import rollouts
from benchmarks.steady.installation import ROW, Toys
from benchmarks.steady.replicas import Replicas, pids
from cluster import submit

MODULE, NAME = "tests.toy_steady", "toy-steady"
NUM_KILLS = 3
NEW_WITHIN_S = 240.0
Happen = Callable[[], Awaitable[str]]


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
        await self._deployed(self._tree)
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

    async def key_change(self) -> str:
        """A key is made, and revoked."""
        return await rollouts.key_change(self._toys, NAME, num_replicas=2)

    async def upgrade_busy(self) -> str:
        """Changed code is deployed under twice the load."""
        now = time.monotonic_ns()
        tree = self._toys.changed_tree(f"busy-{now}", "tests/toy_steady.py", '"""The toy', f'"""Of {now}. The toy')
        old, started_s = self._pids(), time.perf_counter()
        await self._deployed(tree)
        await self._until_new(lambda new: len(new) == 2 and not set(new) & set(old))
        return f"all replicas new {time.perf_counter() - started_s:.1f} s after the job was submitted"

    async def revision(self) -> str:
        """A contract revision with a column more is deployed; the load goes on without it."""
        tree = self._toys.changed_tree("revised", "tests/toy_steady.py", '    name="toy-steady",\n', rollouts.REVISED)
        module = tree / "tests/toy_steady.py"
        module.write_text(module.read_text().replace(rollouts.OLD_IMPORTS, rollouts.NEW_IMPORTS))
        doors, started_s = rollouts.Doors(self._toys, NAME), time.perf_counter()
        await self._deployed(tree)
        row = {**ROW, **rollouts.NEW_COLUMN}
        await doors.until(lambda found: found == {200}, key=self._toys.key("caller"), row=row, num=2)
        return f"every replica took the new column {time.perf_counter() - started_s:.1f} s after the job was submitted"

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
            if time.perf_counter() - started_s > NEW_WITHIN_S:
                raise TimeoutError(f"no new replicas within {NEW_WITHIN_S:g} s; those of now are {self._pids()}")
            await asyncio.sleep(0.2)
        await self._replicas.until(lambda versions: len(versions) >= 2, timeout_s=60.0)
        return time.perf_counter() - started_s

    async def _job(self, verb: str, **how: Any) -> submit.JobState:
        options = ("--clock", "replayed") if verb == "deploy" else ()
        identifier = await asyncio.to_thread(self._toys.start, verb, MODULE, *options, **how)
        return await asyncio.to_thread(submit.wait, self._toys.settings, identifier, timeout_s=240.0)

    async def _deployed(self, tree: Path) -> None:
        state = await self._job("deploy", tree=tree)
        if state.status != submit.SUCCEEDED:
            raise RuntimeError(f"jobs.deploy of {tree} ended as {state.status}: {state.message}")

    async def _refused(self, tree: Any) -> str:
        old, started_s = self._pids(), time.perf_counter()
        state = await self._job("deploy", tree=tree)
        took_s, stayed = time.perf_counter() - started_s, self._pids() == old
        await self._deployed(self._tree)
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


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()
