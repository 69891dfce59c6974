"""Connections that wait for a busy server are accepted in a few turns of its loop, and none after it has ended."""

import asyncio
import socket

import pytest
import uvicorn
import uvloop

from serve_apps.protocols import accepting

NUM_WAITING = 96


async def app(scope, receive, send):
    """Never asked."""


class Turns:
    """Counts the turns of the loop while connections are made."""

    def __init__(self) -> None:
        self.number, self.made_in, self.is_over = 0, [], False

    def count(self) -> None:
        self.number += 1
        if not self.is_over:
            asyncio.get_running_loop().call_soon(self.count)


def protocol_of(turns: Turns):
    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            turns.made_in.append(turns.number)

    return lambda **_: Protocol()


async def turns_for_all_that_wait(bound: socket.socket) -> int:
    turns = Turns()
    server = uvicorn.Server(uvicorn.Config(app, http=protocol_of(turns), lifespan="off", log_level="critical"))
    bound.listen(NUM_WAITING)
    callers = [socket.create_connection(bound.getsockname()) for _ in range(NUM_WAITING)]
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    turns.count()
    while len(turns.made_in) < NUM_WAITING:
        await asyncio.sleep(0)
    turns.is_over = True
    for caller in callers:
        caller.close()
    server.should_exit = True
    await serving
    return turns.made_in[-1] - turns.made_in[0] + 1


@pytest.mark.parametrize("is_installed", [True, False])
def test_those_who_wait_are_accepted_many_in_a_turn(monkeypatch, is_installed):
    monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
    if is_installed:
        accepting.install()
        accepting.install()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = bound.getsockname()
        num_turns = uvloop.run(asyncio.wait_for(turns_for_all_that_wait(bound), 20))
    fewest = NUM_WAITING // accepting.NUM_LISTENERS
    assert num_turns <= 2 * fewest if is_installed else num_turns > 2 * fewest
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
