"""The monitor's figures come in bounded time, or it is said in bounded time that they do not."""

import asyncio
import time

import pytest
import ray

from heliostat.serving.problem import UnavailableError
from serve_apps.steering import STATUS_TIMEOUT_S, ActorSteering


class Handle:
    """What Ray gives for an actor's name: here its calls are answered by `answer`."""

    def __init__(self, answer):
        self.metrics = self
        self.remote = answer

    def options(self, **_):
        return self


def asked(monkeypatch, found):
    monkeypatch.setattr(ray, "get_actor", found)
    started_s = time.monotonic()
    try:
        return asyncio.run(ActorSteering("toy").metrics())
    finally:
        assert time.monotonic() - started_s < STATUS_TIMEOUT_S + 1


def test_a_monitor_that_hangs_is_given_up_after_a_second(monkeypatch):
    async def never():
        await asyncio.Event().wait()

    with pytest.raises(UnavailableError, match="did not answer"):
        asked(monkeypatch, lambda *_, **__: Handle(never))


def test_a_monitor_that_is_not_there_or_just_died_is_said_at_once(monkeypatch):
    def nobody(*_, **__):
        raise ValueError("no such actor")

    async def died():
        raise ray.exceptions.ActorDiedError

    for found in (nobody, lambda *_, **__: Handle(died)):
        with pytest.raises(UnavailableError, match="is not up"):
            asked(monkeypatch, found)


def test_the_monitor_is_found_by_its_name_alone_on_whichever_node_it_runs(monkeypatch):
    names = []

    async def figures():
        return "heliostat_monitor_up 1\n"

    def found(name, *, namespace):
        names.append((name, namespace))
        return Handle(figures)

    assert asked(monkeypatch, found) == "heliostat_monitor_up 1\n"
    assert names == [("toy/monitor", "heliostat")]
