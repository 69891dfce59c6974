"""Comparisons whose caller leaves: with Ray's two calls replaced, nothing of our own."""

import asyncio

import pytest
import ray

from heliostat.govern.asked_comparison import AskedComparison
from serve_apps.steering import ActorSteering


class Task:
    """A task of Ray that never ends."""

    def __init__(self, answer):
        self.answer = answer

    def remote(self, *_):
        return self.answer


def test_a_comparison_that_nobody_waits_for_ends(monkeypatch):
    ended = []

    async def scenario():
        answer = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(ray, "remote", lambda **_: lambda _: Task(answer))
        monkeypatch.setattr(ray, "cancel", lambda found, *, force: ended.append((found is answer, force)))
        asking = asyncio.ensure_future(
            ActorSteering("toy").compare(AskedComparison(lake_uri="lake"), [], timeout_s=60.0)
        )
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scenario())
    assert ended == [(True, True)]
