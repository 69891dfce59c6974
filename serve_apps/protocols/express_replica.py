"""The short way inside a replica of Serve: its protocol in Serve's own server, and Serve's own books of every request.

Counted as any request: the limit of ongoing requests, what scales the deployment, what a replica that drains waits for,
and Serve's metrics. Left out: a context for calls by handle, for which nothing that takes this way has a use, and
Serve's time limit, before which the predictor's own ends. Names with an underscore are those of Ray 2.60.0.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

import uvicorn.config
from ray.serve._private.common import RequestMetadata
from ray.serve._private.common import RequestProtocol as Protocol

from serve_apps.asgi import Response
from serve_apps.http import HttpApp
from serve_apps.protocols.express import Express, ExpressProtocol, Kept

# Serve's own status for it: without one its metrics of the ingress would leave such a request out.
CALLER_LEFT = "499"


def install(app: HttpApp, paths: Sequence[str]) -> None:
    """The HTTP server that Serve starts next in this process answers POSTs of these paths of the application itself."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = _Protocols(app, paths)  # type: ignore[assignment]


class _Protocols:
    """Makes the protocol of each connection, once it can see the replica behind the server."""

    def __init__(self, app: HttpApp, paths: Sequence[str]) -> None:
        self._app = app
        self._paths = paths
        self._express: Express | None = None

    def __call__(self, *, config: Any, **others: Any) -> ExpressProtocol:
        if self._express is None:
            replica = _replica_behind(config.loaded_app)
            prefix = (replica._route_prefix or "").rstrip("/")
            local_by_path = {f"{prefix}{path}": path for path in self._paths}
            self._express = Express(self._app, local_by_path=local_by_path, kept=_books(replica))
        return ExpressProtocol(express=self._express, config=config, **others)


def _replica_behind(app: Any) -> Any:
    """The replica whose method is at the end of the chain of ASGI applications."""
    while not hasattr(app, "__self__"):
        app = app.app if hasattr(app, "app") else app._app
    return app.__self__


def _books(replica: Any) -> Kept:
    metadata = RequestMetadata(
        request_id="",
        internal_request_id="",
        call_method="__call__",
        route=replica._route_prefix or "",
        app_name=replica._deployment_id.app_name,
        is_streaming=True,
        _request_protocol=Protocol.HTTP,
        _http_method="POST",
        is_direct_ingress=True,
    )
    return partial(_kept, replica, metadata)


async def _kept(replica: Any, metadata: RequestMetadata, answering: Awaitable[Response]) -> Response | None:
    response = None
    # Takes what is raised, a request that was called off too, and counts it.
    with replica._handle_errors_and_metrics(metadata) as say_status:
        try:
            async with replica._start_request(metadata):
                response = await answering
                say_status(str(response.status))
        except asyncio.CancelledError:
            say_status(CALLER_LEFT)
            raise
    return response
