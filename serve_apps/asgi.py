"""One HTTP exchange as plain values, straight on ASGI: a framework's routing would cost more than the model."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from heliostat.ids import EPOCH
from heliostat.records import KeyRecord
from heliostat.serving.problem import MalformedError, MediaTypeError, SlowBodyError, TooLargeError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
MAX_REQUEST_ID_LENGTH = 200
# The ingress sets both before it sends a request to any replica, so that a repeated request keeps them.
REQUEST_ID_HEADER = b"x-request-id"
RECEIVED_AT_HEADER = b"x-received-at-ms"
REVISION_HEADER = b"x-contract-revision"
TIMEOUT_HEADER = b"x-request-timeout-seconds"
# The ingress moves the caller's own word here, because Serve ends a request by the other (haproxy_launcher.py).
CALLER_TIMEOUT_HEADER = b"x-caller-timeout-seconds"


@dataclass(kw_only=True, slots=True)
class Call:
    """What every protocol knows of a request: who asks, when, and how long they wait."""

    header_by_name: Mapping[bytes, bytes]
    request_id: str
    received_at: datetime
    started_s: float
    timeout_s: float
    caller: KeyRecord | None = None

    @property
    def by(self) -> str:
        """Who asks, for a journal."""
        return "nobody" if self.caller is None else self.caller.name

    def header(self, name: bytes) -> str | None:
        """The header's text, None when it was not sent."""
        value = self.header_by_name.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def deadline_s(self) -> float:
        """When the caller stops waiting, on the clock of `started_s`."""
        return self.started_s + self.timeout_s


@dataclass(kw_only=True, slots=True)
class Request(Call):
    """What a handler gets: the call, and the body on demand, from `receive` unless it is there."""

    receive: Receive | None
    max_body_bytes: int
    whole_body: bytes | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The media type of the body without its parameters, empty when none was sent."""
        said = self.header(b"content-type") or ""
        return said if said == JSON else said.partition(";")[0].strip().lower()

    def accepts(self, media_type: str) -> bool:
        """Whether the Accept header names this media type; a wildcard does not name it."""
        return media_type in (self.header(b"accept") or "").lower()

    async def json(self) -> Any:
        """The body as JSON; refuses other media types, larger bodies and what is no JSON."""
        return parsed(await self.body(JSON))

    async def body(self, *media_types: str) -> bytes:
        """The body, of one of these media types and not compressed; larger ones are refused before they are held."""
        if self.media_type not in media_types:
            known = " or ".join(kind for kind in media_types if kind)
            raise MediaTypeError(f"The body must be {known}; got {self.media_type!r:.80}. Send it as Content-Type.")
        encoding = self.header(b"content-encoding")
        if encoding not in (None, "", "identity"):
            raise MediaTypeError(f"The body must not be compressed; got Content-Encoding {encoding!r:.40}.")
        return await self._body()

    async def _body(self) -> bytes:
        declared = self.header(b"content-length")
        if declared is not None:
            if not (declared.isascii() and declared.isdecimal()):
                raise MalformedError(f"Content-Length must be a number of bytes; got {declared!r:.40}.")
            # Compared by length first: Python refuses to read a number of thousands of digits.
            if len(declared) > 18 or int(declared) > self.max_body_bytes:
                raise self._too_large()
        if self.receive is None:
            return self._whole()
        try:
            async with asyncio.timeout(self.deadline_s - time.perf_counter()):
                return await self._chunks(self.receive)
        except TimeoutError as error:
            raise SlowBodyError(f"The body was not complete after {self.timeout_s:g} s; send it faster.") from error

    def _whole(self) -> bytes:
        body = self.whole_body or b""
        if len(body) > self.max_body_bytes:
            raise self._too_large()
        return body

    async def _chunks(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        num_bytes, is_more = 0, True
        while is_more:
            message = await receive()
            if message["type"] != "http.request":
                raise MalformedError("The connection was closed before the body was complete.")
            chunk = message.get("body", b"")
            chunks.append(chunk)
            num_bytes += len(chunk)
            if num_bytes > self.max_body_bytes:
                raise self._too_large()
            is_more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLargeError:
        return too_large(self.max_body_bytes)


def too_large(max_body_bytes: int) -> TooLargeError:
    """The refusal of a body with more bytes than that."""
    return TooLargeError(f"A body may have {max_body_bytes} bytes; send fewer rows at once.")


def parsed(body: bytes | memoryview) -> Any:
    """The JSON document in a body, MalformedError when there is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"The body is no JSON: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer: JSON when nothing else is said."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any, *, status: int = 200) -> "Response":
        """The document as JSON."""
        return cls(body=orjson.dumps(document, default=_plain), status=status)

    def with_headers(self, headers: Mapping[str, str]) -> "Response":
        """The same answer with these headers too."""
        return replace(self, headers={**self.headers, **headers}) if headers else self

    async def send(self, send: Send) -> None:
        """Write it; Serve adds the request's id."""
        headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            *((name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def request_id_of(header_by_name: Mapping[bytes, bytes]) -> str | None:
    """The id that the caller or the ingress gave, None when there is none."""
    request_id = header_by_name.get(REQUEST_ID_HEADER, b"").decode("latin-1")
    if len(request_id) > MAX_REQUEST_ID_LENGTH:
        raise MalformedError(f"X-Request-Id may have {MAX_REQUEST_ID_LENGTH} characters; got {len(request_id)}.")
    return request_id or None


def received_at_of(header_by_name: Mapping[bytes, bytes]) -> datetime:
    """When the ingress received the request; now when it does not say."""
    milliseconds = header_by_name.get(RECEIVED_AT_HEADER)
    if milliseconds is None:
        return datetime.now(UTC)
    if not milliseconds.isdigit() or len(milliseconds) > 14:
        raise MalformedError(f"X-Received-At-Ms must be milliseconds since 1970; got {milliseconds!r:.40}.")
    return EPOCH + timedelta(milliseconds=int(milliseconds))


def timeout_header_of(header_by_name: Mapping[bytes, bytes]) -> str | None:
    """How long the caller said that it waits, None when it did not say."""
    said = header_by_name.get(CALLER_TIMEOUT_HEADER) or header_by_name.get(TIMEOUT_HEADER)
    return None if said is None else said.decode("latin-1")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
