"""Connections are accepted many at a time in the HTTP server that Serve starts in a replica.

uvloop (libuv) accepts one connection from a listening socket in each turn of its loop, and a replica with much to do
takes tens of milliseconds for a turn: after a restart the last of 256 connections that the ingress opened had waited
for seconds. A copy of the socket shares its queue, and each copy is accepted from once a turn.
"""

import functools
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn

NUM_LISTENERS = 16

Startup = Callable[[uvicorn.Server, list[socket.socket] | None], Coroutine[Any, Any, None]]


def install() -> None:
    """The servers that start in this process from now on listen on copies of their sockets, too."""
    if not hasattr(uvicorn.Server.startup, "__wrapped__"):
        uvicorn.Server.startup = _on_copies(uvicorn.Server.startup)  # type: ignore[assignment,method-assign]


def _on_copies(startup: Startup) -> Startup:
    @functools.wraps(startup)
    async def started(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        given = sockets or []
        # The loop closes each with its server.
        copies = [each.dup() for each in given for _ in range(NUM_LISTENERS - 1)]
        await startup(server, [*given, *copies] if given else sockets)

    return started
