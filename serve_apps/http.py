"""The HTTP address of one workload: every path, who may ask it, and errors as problem details."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from heliostat.declared.serving import Serving
from heliostat.errors import HeliostatError, NotFoundError
from heliostat.govern.roles import Action
from heliostat.serving import problem
from heliostat.serving.admission import timeout_of
from heliostat.serving.problem import NESTED, MalformedError, MethodError, OverloadedError
from serve_apps.access import Access
from serve_apps.asgi import Receive, Request, Response, Scope, Send, received_at_of, request_id_of, timeout_header_of

logger = logging.getLogger(__name__)

HTML = "text/html"
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path; `{name}` in the path is a parameter, `action` None needs no key.

    `body` describes JSON; bodies and answers of other media types stand beside it, by their type.
    `headers` and `query` describe those of the request that this endpoint reads; none has to be sent.
    `page` is what a browser gets (whoever accepts text/html), without a key.
    """

    method: str
    path: str
    action: Action | None
    handler: Handler
    summary: str
    body: dict[str, Any] | None = None
    other_bodies: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    other_answers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    headers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    query: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200
    page: Response | None = None


class Router:
    """Finds the endpoint of a path; paths without parameters cost one look-up."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._exact = {(e.method, e.path): e for e in endpoints if "{" not in e.path}
        self._patterns = [(e.path.split("/"), e) for e in endpoints if "{" in e.path]
        self._paths = {e.path for e in endpoints}

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint and the values of its parameters; NotFoundError or MethodError."""
        endpoint = self._exact.get((method, path))
        if endpoint is not None:
            return endpoint, {}
        methods = {other for other, exact in self._exact if exact == path}
        for pattern, candidate in self._patterns:
            parameters = _parameters(pattern, path.split("/"))
            if parameters is not None and candidate.method == method:
                return candidate, parameters
            if parameters is not None:
                methods.add(candidate.method)
        if methods:
            refusal = MethodError(f"{path!r:.200} takes {', '.join(sorted(methods))}; got {method:.40}.")
            refusal.allowed = tuple(sorted(methods))
            raise refusal
        raise NotFoundError(f"There is nothing at {path!r:.200}; there are {', '.join(sorted(self._paths))}.")


class HttpApp:
    """The ASGI application; `access` decides who may ask.

    `on_failure` is called with the status of every problem that is answered, `on_shutdown` once at the end.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        access: Access,
        limits: Serving,
        on_shutdown: Callable[[], None],
        on_failure: Callable[[int], None],
    ) -> None:
        self._router = Router(endpoints)
        self._access = access
        self._limits = limits
        self._on_shutdown = on_shutdown
        self._on_failure = on_failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(
            scope["method"],
            _local_path(scope),
            dict(scope["headers"]),
            query=scope.get("query_string", b""),
            receive=receive,
        )
        await response.send(send)

    async def respond(
        self,
        method: str,
        path: str,
        header_by_name: Mapping[bytes, bytes],
        *,
        query: bytes = b"",
        receive: Receive | None = None,
        body: bytes | None = None,
        started_s: float | None = None,
    ) -> Response:
        """The answer to a request, errors too; its body is there already, or else `receive` gets it on demand.

        Its time counts from `started_s`, on the clock of time.perf_counter(); from now on where that is not given.
        """
        started_s = time.perf_counter() if started_s is None else started_s
        request_id = ""
        try:
            request_id = request_id_of(header_by_name) or str(uuid.uuid4())
            request = Request(
                header_by_name=header_by_name,
                receive=receive,
                whole_body=body,
                request_id=request_id,
                received_at=received_at_of(header_by_name),
                started_s=started_s,
                timeout_s=timeout_of(timeout_header_of(header_by_name), default_s=self._limits.request_timeout_s),
                max_body_bytes=self._limits.max_body_bytes,
            )
            return await self._handle(method, path, request, query=query)
        except HeliostatError as error:
            return self._problem(problem.of(error), error, request_id=request_id or str(uuid.uuid4()))
        # Of showing, in a refusal, what a body nests a thousand deep.
        except RecursionError as error:
            return self._problem(problem.of(NESTED), error, request_id=request_id or str(uuid.uuid4()))
        # The outer edge of a request: whatever it was, it is in the log, and the next request is answered.
        except Exception as error:  # noqa: BLE001
            return self._problem(problem.internal(), error, request_id=request_id or str(uuid.uuid4()))

    async def _handle(self, method: str, path: str, request: Request, *, query: bytes) -> Response:
        endpoint, request.parameters = self._router.find(method, path)
        if endpoint.page is not None and request.accepts(HTML):
            return endpoint.page
        if endpoint.action is not None:
            authorization = request.header(b"authorization")
            request.caller = self._access.admit(authorization, endpoint.action, now_s=request.started_s)
        if endpoint.query:
            request.parameters |= _queried(query, endpoint.query)
        return await endpoint.handler(request)

    def _problem(self, found: problem.Problem, error: Exception, *, request_id: str) -> Response:
        self._on_failure(found.status)
        # What is shed is counted in v1/status: a trace for each would cost most when there is least to spare.
        if found.status >= 500 and not isinstance(error, OverloadedError):
            logger.error("Request %s failed.", request_id, exc_info=error)
        return Response(
            body=found.body(instance=request_id),
            status=found.status,
            content_type=problem.CONTENT_TYPE,
            headers=found.headers,
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


def _local_path(scope: Scope) -> str:
    """The path below the application's prefix."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    local = path[len(prefix) :] if prefix and path.startswith(prefix) else path
    return local.rstrip("/") or "/"


def _queried(query: bytes, known: Mapping[str, Any]) -> dict[str, str]:
    """What the address says behind its `?`; MalformedError for a name that is not known or is there twice."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in found:
            raise MalformedError(f"The query says {name!r:.80}, each once of {', '.join(known)}; correct the address.")
        found[name] = value
    return found


def _parameters(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    parameters: dict[str, str] = {}
    for expected, found in zip(pattern, parts, strict=True):
        if expected.startswith("{"):
            parameters[expected[1:-1]] = found
        elif expected != found:
            return None
    return parameters
