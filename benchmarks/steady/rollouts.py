"""What is rolled out under load besides a version: a key, a contract revision."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from benchmarks.steady.installation import ROW, Toys
from cluster.processes import listeners

# Beside the toy's own contract: a column that old clients do not send.
NEW_COLUMN = {"humidity_percent": 40.0}
REVISED = """    name="toy-steady",
    revision=2,
    columns=(*toy_quick.workload.columns, Number("humidity_percent", low=0, high=100, optional=True)),
    earlier=(
        Revision(
            number=1,
            columns=tuple(toy_quick.workload.columns),
            deprecated_at=datetime(2024, 1, 1, tzinfo=UTC),
        ),
    ),
"""
OLD_IMPORTS = "from heliostat import Batch, Encoded\n"
NEW_IMPORTS = "from datetime import UTC, datetime\n\nfrom heliostat import Batch, Encoded, Number, Revision\n"


class Doors:
    """The replicas of a workload, asked one by one at their own ports."""

    def __init__(self, toys: Toys, workload: str) -> None:
        self._toys, self._workload = toys, workload

    async def until(self, holds: Callable[[set[int]], bool], *, key: str, row: dict[str, Any], num: int) -> float:
        """Seconds until it holds for the statuses that all `num` replicas give this key and row."""
        started_s = time.perf_counter()
        first, last = self._toys.settings.ports.direct_http
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while time.perf_counter() - started_s < 120.0:
                ports = await asyncio.to_thread(listeners, first, last)
                statuses = [each for port in ports if (each := await self._status(session, port, row)) is not None]
                if len(statuses) >= num and holds(set(statuses)):
                    return time.perf_counter() - started_s
                await asyncio.sleep(0.02)
        raise TimeoutError("not within 120 s")

    async def _status(self, session: aiohttp.ClientSession, port: int, row: dict[str, Any]) -> int | None:
        url = f"http://127.0.0.1:{port}/{self._workload}/v1/predict"
        try:
            async with session.post(url, json={"rows": [row]}, timeout=aiohttp.ClientTimeout(total=5.0)) as answer:
                return None if answer.status == 404 else answer.status
        except (TimeoutError, aiohttp.ClientError):
            return None


async def key_change(toys: Toys, workload: str, *, num_replicas: int) -> str:
    """A key is made over HTTP and revoked; how long until each replica knows."""
    doors, address = Doors(toys, workload), f"{toys.settings.http_url}/{workload}/v1/keys"
    headers = {"Authorization": f"Bearer {toys.key('admin')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        started_s = time.perf_counter()
        async with session.post(address, json={"name": "measured", "role": "caller"}) as answer:
            made = await answer.json()
        await doors.until(lambda found: found == {200}, key=made["key"], row=ROW, num=num_replicas)
        made_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        async with session.delete(f"{address}/{made['key_id']}") as answer:
            await answer.read()
        await doors.until(lambda found: found == {401}, key=made["key"], row=ROW, num=num_replicas)
        revoked_s = time.perf_counter() - started_s
    return f"a new key was known on every replica after {made_s:.2f} s, a revoked one refused after {revoked_s:.2f} s"
