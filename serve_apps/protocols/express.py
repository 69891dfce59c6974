"""The short way of the requests that are asked most: those that arrive whole are answered in one task and one write.

Serve's own way takes three tasks and two writes for each, looks at all headers twice, and costs as much as all that is
done for a row. What arrives in pieces, or is for another path, takes Serve's way as before, on the same connection.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from serve_apps.asgi import REQUEST_ID_HEADER, Response
from serve_apps.http import HttpApp

Kept = Callable[[Awaitable[Response]], Awaitable[Response | None]]
"""Awaits an answer and keeps whatever books its server keeps of requests; None when the request was called off."""


class Express:
    """Answers for some paths of an application, without ASGI."""

    def __init__(self, app: HttpApp, *, local_by_path: Mapping[str, str], kept: Kept) -> None:
        self._app = app
        self._local_by_path = local_by_path
        self._kept = kept

    def takes(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request goes this way."""
        return scope["path"] in self._local_by_path and scope["method"] == "POST" and scope["http_version"] == "1.1"

    async def answer(self, scope: Mapping[str, Any], body: bytes) -> list[bytes] | None:
        """Status line, headers but for the server's own, and body; None when the request was called off."""
        header_by_name = dict(scope["headers"])
        request_id = header_by_name.get(REQUEST_ID_HEADER)
        if not request_id:  # an empty one is none, here as in `respond`
            request_id = header_by_name[REQUEST_ID_HEADER] = str(uuid.uuid4()).encode()
        path = self._local_by_path[scope["path"]]
        # From here on the caller waits, also where the books let the request wait for a place among the ongoing ones.
        started_s = time.perf_counter()
        answering = self._app.respond("POST", path, header_by_name, body=body, started_s=started_s)
        try:
            response = await self._kept(answering)
        finally:
            answering.close()  # one that was called off before its turn has not begun, and never will
        return None if response is None else _lines(response, request_id)


class ExpressProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a short way; order, keep-alive, and the end of connections and servers are uvicorn's."""

    def __init__(self, *, express: Express, **others: Any) -> None:
        super().__init__(**others)
        self._express = express
        self._is_receiving = False
        self._held: tuple[RequestResponseCycle, Any] | None = None
        self._answering: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller; a request that these make whole goes the short way."""
        self._is_receiving = True
        super().data_received(data)
        self._is_receiving = False
        if self._held is None:
            return
        (cycle, app), self._held = self._held, None
        if cycle.more_body:
            super()._start_asgi_task(cycle, app)
        else:
            self._answering = self.loop.create_task(self._answer(cycle))
            self.tasks.add(self._answering)
            self._answering.add_done_callback(self.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for the answer any more."""
        super().connection_lost(exc)
        if self._answering is not None:
            self._answering.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Not yet: whether the body is there too is known when all that arrived has been read.
        if self._is_receiving and app is self.app and self._express.takes(cycle.scope):
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    async def _answer(self, cycle: RequestResponseCycle) -> None:
        try:
            lines = await self._express.answer(cycle.scope, bytes(cycle.body))
            if lines is not None:
                await self._write(cycle, lines)
        finally:
            self._answering = None
            if not cycle.response_complete:
                self.transport.close()

    async def _write(self, cycle: RequestResponseCycle, lines: list[bytes]) -> None:
        if self.flow.write_paused:
            await self.flow.drain()
        if cycle.disconnected:
            return
        status, *rest = lines
        own = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        closing = [] if cycle.keep_alive else [b"connection: close\r\n"]
        self.transport.write(b"".join([status, *own, *closing, *rest]))
        cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _lines(response: Response, request_id: bytes) -> list[bytes]:
    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.items()]
    headers = [*given, (b"x-request-id", request_id)]
    for name, value in headers:
        if HEADER_VALUE_RE.search(value):
            raise ValueError(f"The header {name!r} would break the answer; got {value!r:.80}.")
    return [
        STATUS_LINE[response.status],
        b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type.encode(), len(response.body)),
        *(b"%b: %b\r\n" % header for header in headers),
        b"\r\n",
        response.body,
    ]
