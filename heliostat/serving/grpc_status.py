"""What a gRPC caller is told: a status for each problem, and how long the call may take."""

from collections.abc import Mapping

from heliostat.serving.admission import MAX_TIMEOUT_S, timeout_of
from heliostat.serving.problem import ExpiredError, MalformedError, Problem

_CODE_BY_STATUS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    410: "FAILED_PRECONDITION",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",  # not RESOURCE_EXHAUSTED, which clients repeat: this message will never fit
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_SECONDS_BY_UNIT = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Details travel percent-encoded in trailers, for which clients keep 8 KiB.
MAX_DETAIL_BYTES = 2000


def code_of(problem: Problem, error: Exception) -> str:
    """The name of the status; a call that was too late has one of its own."""
    if isinstance(error, ExpiredError):
        return "DEADLINE_EXCEEDED"
    return _CODE_BY_STATUS.get(problem.status, "INTERNAL")


def detail_of(problem: Problem) -> str:
    """The problem's sentence, cut to what trailers can carry."""
    return problem.detail.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")


def trailers_of(problem: Problem) -> list[tuple[str, str]]:
    """The problem's headers as trailing metadata, and when to try again in the words of gRPC's own retries."""
    trailers = [(name.lower(), value) for name, value in problem.headers.items()]
    after_s = problem.headers.get("Retry-After")
    return trailers if after_s is None else [*trailers, ("grpc-retry-pushback-ms", str(int(after_s) * 1000))]


def timeout_s(deadline: str | None, header: str | None, *, default_s: float) -> float:
    """How long a call may take: its gRPC deadline, X-Request-Timeout-Seconds, or the shorter of both; else the default.

    `deadline` is what the caller's library wrote as `grpc-timeout`, such as "500m"; MalformedError if it is not such.
    """
    if deadline is None:
        return timeout_of(header, default_s=default_s)
    left_s = min(_seconds(deadline), MAX_TIMEOUT_S)
    return min(left_s, timeout_of(header, default_s=left_s))


def _seconds(deadline: str) -> float:
    digits, unit = deadline[:-1], deadline[-1:]
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 8 and unit in _SECONDS_BY_UNIT):
        raise MalformedError(
            f"A gRPC deadline must be up to 8 digits and one of H, M, S, m, u, n; got {deadline!r:.40}."
        )
    return int(digits) * _SECONDS_BY_UNIT[unit]
