"""Errors as callers see them: JSON problem details (RFC 9457), one status for each kind of error."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

from heliostat.errors import (
    AccessError,
    CatalogError,
    ClusterError,
    ContractError,
    HeliostatError,
    LakeError,
    NotFoundError,
)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class MalformedError(HeliostatError, ValueError):
    """The request cannot be read: no JSON, or not of the documented shape."""


class ForbiddenError(AccessError):
    """The key is known, and its role or its workload does not allow this."""


class GoneError(HeliostatError, ValueError):
    """What was asked for was there once, and is retired."""


class MethodError(HeliostatError, ValueError):
    """The path exists, and this HTTP method does nothing there; `allowed` are those that do."""

    allowed: tuple[str, ...] = ()


class TooLargeError(HeliostatError, ValueError):
    """The request has more bytes or rows than this workload takes at once."""


class MediaTypeError(HeliostatError, ValueError):
    """The body is not of a media type that is understood."""


class LaterError(HeliostatError, RuntimeError):
    """The same request may work later; `retry_after_s` says when it is worth trying."""

    retry_after_s: int = RETRY_AFTER_S

    @classmethod
    def retry_after(cls, message: str, wait_s: float) -> Self:
        """The error for a caller who should wait so long, rounded up to what the header can say."""
        error = cls(message)
        error.retry_after_s = max(RETRY_AFTER_S, math.ceil(wait_s))
        return error


class UnavailableError(LaterError):
    """It may work later: nothing serves yet, or what is needed cannot be reached."""


class OverloadedError(UnavailableError):
    """More waits than can be answered in time, so this was refused before it joined the queue."""


class ExpiredError(OverloadedError):
    """The caller's deadline passed; the message says whether the model may have run."""


class RateLimitError(LaterError):
    """A key has sent more than its share."""


class SlowBodyError(HeliostatError, RuntimeError):
    """The body did not arrive within the time that the request has."""


NESTED = MalformedError("The body is nested too deeply; send values, or lists of numbers, as `docs` describes them.")
"""What a value is that cannot even be shown: a body may be a thousand lists deep, and Python's repr ends before."""

# The first match counts, so a subclass stands before its base.
_STATUS_BY_ERROR: tuple[tuple[type[HeliostatError], HTTPStatus], ...] = (
    (MalformedError, HTTPStatus.BAD_REQUEST),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (AccessError, HTTPStatus.UNAUTHORIZED),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (GoneError, HTTPStatus.GONE),
    (MethodError, HTTPStatus.METHOD_NOT_ALLOWED),
    (CatalogError, HTTPStatus.CONFLICT),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (MediaTypeError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (ContractError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (SlowBodyError, HTTPStatus.REQUEST_TIMEOUT),
    (RateLimitError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LakeError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ClusterError, HTTPStatus.SERVICE_UNAVAILABLE),
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One error as it is sent: status, body and the headers that belong to it."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, *, instance: str) -> bytes:
        """The JSON document; `instance` is the request's id, by which the log is searched."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            # Where clients of the Open Inference Protocol look for the sentence.
            "error": self.detail,
            "instance": instance,
        }
        return json.dumps(document).encode()


def of(error: HeliostatError) -> Problem:
    """The problem that a caller is told for an error."""
    status = next((status for kind, status in _STATUS_BY_ERROR if isinstance(error, kind)), None)
    if status is None:
        # Unknown to callers means our fault; what happened stands in the replica's log, not in the answer.
        return internal()
    return Problem(status=status, detail=str(error), headers=_headers(status, error))


def internal() -> Problem:
    """The problem for an error of ours: says nothing about the inside."""
    return Problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="This failed for a reason that lies with the server; its log has it under this request id.",
    )


def _headers(status: HTTPStatus, error: HeliostatError) -> Mapping[str, str]:
    if status is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="heliostat"'}
    if isinstance(error, MethodError):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, LaterError):
        return {"Retry-After": str(error.retry_after_s)}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {}
