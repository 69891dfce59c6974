"""What each replica says of itself, asked at its own port, past the ingress."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from cluster.processes import cluster_pids, command_of, listeners
from heliostat.settings import Settings

_POLL_S = 0.02


def pids(settings: Settings, title: str) -> list[int]:
    """The processes of this installation whose command line begins so."""
    return [pid for pid in cluster_pids(settings.home) if command_of(pid).startswith(title)]


def resident_bytes(process_ids: list[int]) -> int:
    """The memory that those processes hold now, all together."""
    return sum(_resident(pid) for pid in process_ids)


class Replicas:
    """The replicas of one workload that listen at present."""

    def __init__(self, settings: Settings, workload: str, *, key: str, row: dict[str, Any]) -> None:
        self._settings, self._workload, self._row = settings, workload, row
        self._headers = {"Authorization": f"Bearer {key}"}

    async def versions(self) -> list[int]:
        """The version by which each replica answers, one number a replica."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            return await self._versions(session)

    async def _versions(self, session: aiohttp.ClientSession) -> list[int]:
        first, last = self._settings.ports.direct_http
        ports = await asyncio.to_thread(listeners, first, last)
        asked = await asyncio.gather(*(self._version(session, port) for port in ports))
        return [version for version in asked if version is not None]

    async def until(self, holds: Callable[[list[int]], bool], *, timeout_s: float) -> float:
        """Seconds until it holds for the versions of all replicas that answer."""
        started_s = time.perf_counter()
        async with aiohttp.ClientSession(headers=self._headers) as session:
            while not holds(await self._versions(session)):
                if time.perf_counter() - started_s > timeout_s:
                    raise TimeoutError(f"not within {timeout_s:.0f} s")
                await asyncio.sleep(_POLL_S)
        return time.perf_counter() - started_s

    async def _version(self, session: aiohttp.ClientSession, port: int) -> int | None:
        url = f"http://127.0.0.1:{port}/{self._workload}/v1/predict"
        try:
            async with session.post(
                url, json={"rows": [self._row]}, timeout=aiohttp.ClientTimeout(total=5.0)
            ) as answer:
                return int((await answer.json())["model_version"]) if answer.status == 200 else None
        except (TimeoutError, aiohttp.ClientError):
            return None  # it ended, or has not begun


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0
