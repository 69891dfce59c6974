"""Start HAProxy with changes to the configuration that Ray rendered, for which Ray has no setting.

1. A request without an id gets one, and each the time it came, before it is sent to any replica. HAProxy repeats a
   request with its headers, so a request that runs twice has one id, and the second run can be recognised.
2. A request is sent on only when all of it has arrived (or fills the buffer). Many clients send head and body
   apart; HAProxy had then sent the head already, and could not repeat the request when the replica died.
3. Who sends head or body too slowly is told so (408) and let go: without that limit a client could hold one of the
   connections for an hour.
4. The caller's time limit is the replica's to keep, which knows what to say; Serve's own limit ends a request
   only some seconds later, with a text that names another number, if the replica no longer can.
5. Headers that Serve would decode as UTF-8, and fail with 500 when they are not, are refused or left out.
6. What HAProxy answers itself is a problem document like any other error: 400, 404, 408, 502, 503, 504. Only where it
   cannot parse the head at all, its own few words stand: there it takes no others.
7. Heads that are absurd, though they fit the buffer, are refused by named limits: 414, 431.
8. The metrics listener and the statistics page bind loopback instead of all interfaces.
9. A gRPC call without the metadata `application` goes to the application that is named like the call's model, or else
   to the pool. The name is the first field of every message that has one, and is read where it passes, so there is no
   further hop. gRPC calls get an id and a time, and are sent on whole, as in 1 and 2.
10. Only what ended badly is logged: a line for each answer costs a datagram and its refusal, as mostly nobody listens.
11. Connections to replicas are kept for the next request also when many callers are connected.

Ray starts this program instead of HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH`); it changes the file in place,
because Ray recognises its HAProxy by that file's name, and then becomes HAProxy under the same process id.
Standard library only: it runs without site packages. Usage: `haproxy_launcher.py HAPROXY [HAProxy's arguments]`.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

SLOW_REQUEST_S = 15
MAX_HEADERS = 100
MAX_HEADER_BYTES = 65_536
MAX_URL_BYTES = 8_192
# In percent of the sockets that HAProxy may open: two for each caller and some for checks. With HAProxy's 20 and 25,
# half of the callers allowed were enough for it to keep none: every request then opened a connection, at four times
# the replica's work, so that a replica that fell behind could not catch up.
KEPT_CONNECTIONS = "    tune.pool-low-fd-ratio 90\n    tune.pool-high-fd-ratio 95"
# A replica that is busy answers its health check late, and one that is dead refuses it at once. Without this, HAProxy
# waits 250 ms once a replica is in doubt, and would take a slow one for dead.
CHECK_S = 5
# Serve counts from here on, in whole seconds, so that the replica's own limit always comes first.
SERVE_GRACE_S = 5

REQUEST_ID_RULE = "    http-request set-header x-request-id %[uuid] unless { req.fhdr(x-request-id),length gt 0 }"
# Overwritten always: this is the ingress's own word, and rules run once however often the request is repeated.
RECEIVED_AT_RULE = "    http-request set-header x-received-at-ms %[date(0,ms)]"
BUFFER_RULE = "    option http-buffer-request"
_HAS_TIMEOUT = "if { req.hdr(x-request-timeout-seconds) -m found }"
TIMEOUT_RULES = (
    "    http-request del-header x-caller-timeout-seconds\n"
    f"    http-request set-header x-caller-timeout-seconds %[req.fhdr(x-request-timeout-seconds)] {_HAS_TIMEOUT}\n"
    "    http-request set-header x-request-timeout-seconds "
    f"%[req.fhdr(x-request-timeout-seconds),add({SERVE_GRACE_S})] {_HAS_TIMEOUT}"
)
# Serve reads these, and nothing here needs them.
UNUSED_RULES = "\n".join(
    f"    http-request del-header {name}"
    for name in ("x-session-id", "x-request-disconnect-disabled", "serve_multiplexed_model_id")
)

# The application that answers for models of other names (`cluster.names.POOL`; nothing can be imported here).
POOL = "small.models"
SERVICE = "/inference.GRPCInferenceService/"
GRPC_RULES = f"""\
    http-request set-header request_id %[req.hdr(x-request-id)] if {{ req.fhdr(x-request-id),length gt 0 }}
    http-request set-header request_id %[uuid] unless {{ req.fhdr(request_id),length gt 0 }}
{RECEIVED_AT_RULE}
    # Replicas see no grpc-timeout: Serve's servers keep it to themselves.
    http-request del-header x-grpc-timeout
    http-request set-header x-grpc-timeout %[req.hdr(grpc-timeout)] if {{ req.hdr(grpc-timeout) -m found }}
    http-request wait-for-body time {SLOW_REQUEST_S}s if {{ path_beg {SERVICE} }}
    # Behind the 5 bytes of gRPC's frame; a compressed message is not read, and its caller told to send the metadata.
    http-request set-var(txn.model) req.body,bytes(5),protobuf(1) if {{ path_beg {SERVICE}Model }}"""

_TITLE_BY_STATUS = {
    400: "Bad Request",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    404: "Not Found",
    408: "Request Timeout",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_DETAIL_BY_STATUS = {
    400: "X-Request-Id and X-Request-Timeout-Seconds must be printable ASCII.",
    414: f"A URL may have {MAX_URL_BYTES} bytes; send data in the body.",
    431: f"A request may have {MAX_HEADERS} headers, and {MAX_HEADER_BYTES} bytes of them; send data in the body.",
    404: "No workload answers at this path; GET /-/routes lists where each begins.",
    408: f"The request was not complete {SLOW_REQUEST_S} s after it began; send it faster.",
    502: "The replica ended while it answered, and the request could not be repeated; send it again.",
    503: "No replica answers at present, or too many ended under this request; send it again.",
    504: "The replica did not answer in time; send it again.",
}
# 404 is a rule of Ray's, and is replaced where it stands.
_ERRORS = (400, 408, 502, 503, 504)
_HTTP_FRONTEND = re.compile(r"^frontend http_frontend\n +bind [^\n]+$", re.MULTILINE)
_GRPC_FRONTEND = re.compile(r"^frontend grpc_frontend\n(?: +#[^\n]*\n)* +bind [^\n]+\n +mode http$", re.MULTILINE)
_GRPC_APPLICATION = re.compile(r"^ +acl is_(\S+) req\.hdr\(application\) -m str (\S+)$", re.MULTILINE)
_METRICS_BIND = re.compile(r"^(frontend prometheus\n +bind )(?:\*|127\.0\.0\.1)?:(\d+)$", re.MULTILINE)
_STATS_BIND = re.compile(r"^(listen stats\n +bind )(?:\*|127\.0\.0\.1)?:(\d+)$", re.MULTILINE)
_GLOBAL = re.compile(r"^global$", re.MULTILINE)
_DEFAULTS = re.compile(r"^defaults\n +mode http$", re.MULTILINE)
_NO_ROUTE = re.compile(r"^(backend default_backend)\n +http-request return status 404 [^\n]+$", re.MULTILINE)
# A 404 is final for a client, and HAProxy knows no workload for its first seconds after it was started anew.
_NO_WORKLOAD = "The ingress knows no workload: it has just started, or none is deployed; send it again."
_HTTP_ROUTE = re.compile(r"^frontend http_frontend\n(?:[ #][^\n]*\n)*? +use_backend ", re.MULTILINE)
# Ray's own file says 500 for all three: it hides whether the request may be repeated.
_ERROR_FILES = re.compile(r"^ +errorfile 50[234] [^\n]+\n", re.MULTILINE)


def adapt(configuration: str, *, directory: Path) -> str:
    """Ray's configuration with our changes; raises ValueError if it has no place for one of them.

    It names the files that `write_answers` puts into the directory.
    """
    configuration = _replace_once(_METRICS_BIND, r"\g<1>127.0.0.1:\g<2>", configuration)
    configuration = _replace_once(_STATS_BIND, r"\g<1>127.0.0.1:\g<2>", configuration)
    if REQUEST_ID_RULE in configuration:
        return configuration
    configuration = _ERROR_FILES.sub("", configuration)
    # Above what the rule allows, so that the rule is what answers.
    configuration = _after(_GLOBAL, f"    tune.http.maxhdr {10 * MAX_HEADERS}\n{KEPT_CONNECTIONS}", configuration)
    configuration = _after(_DEFAULTS, _default_rules(directory), configuration)
    # A plain answer of a fixed text; Ray's repeats the path that was asked for.
    configuration = _replace_once(
        _NO_ROUTE, lambda found: f"{found[1]}\n    http-request return {_no_route(configuration)}", configuration
    )
    configuration = _after(_HTTP_FRONTEND, _request_rules(), configuration)
    if "\nfrontend grpc_frontend\n" not in configuration:
        return configuration
    rules = [GRPC_RULES, *_grpc_routes(_GRPC_APPLICATION.findall(configuration))]
    return _after(_GRPC_FRONTEND, "\n".join(rules), configuration)


def configuration_path(arguments: list[str]) -> Path:
    """The file named by HAProxy's `-f`."""
    return Path(arguments[arguments.index("-f") + 1])


def main(arguments: list[str]) -> None:
    """Adapt the configuration that `arguments` name, then become HAProxy."""
    path = configuration_path(arguments)
    adapted = adapt(path.read_text(), directory=path.parent)
    write_answers(path.parent)
    _replace_file(path, adapted)
    os.execv(arguments[0], arguments)


def problem(status: int, detail: str | None = None) -> str:
    """The problem document of a status that HAProxy answers itself."""
    document = {
        "type": "about:blank",
        "title": _TITLE_BY_STATUS[status],
        "status": status,
        "detail": detail or _DETAIL_BY_STATUS[status],
    }
    return json.dumps(document)


def write_answers(directory: Path) -> None:
    """Every answer of HAProxy's own as the file that it sends."""
    for status in _ERRORS:
        body = problem(status)
        head = [
            f"HTTP/1.1 {status} {_TITLE_BY_STATUS[status]}",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            *(["Retry-After: 1"] if status >= 502 else []),
            "Connection: close",
        ]
        _replace_file(_error_file(directory, status), "\r\n".join([*head, "", body]))


def _answer(status: int) -> str:
    return f"status {status} content-type application/problem+json string '{problem(status)}'"


def _no_route(configuration: str) -> str:
    if _HTTP_ROUTE.search(configuration):
        return _answer(404)
    return f"status 503 content-type application/problem+json hdr Retry-After 1 string '{problem(503, _NO_WORKLOAD)}'"


def _error_file(directory: Path, status: int) -> Path:
    return directory / f"answer-{status}.http"


def _default_rules(directory: Path) -> str:
    errors = [f"    errorfile {status} {_error_file(directory, status)}" for status in _ERRORS]
    timeouts = [f"    timeout http-request {SLOW_REQUEST_S}s", f"    timeout check {CHECK_S}s"]
    return "\n".join([*timeouts, "    option dontlog-normal", *errors])


def _replace_file(path: Path, text: str) -> None:
    # In one step: HAProxy must never read half a file.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, newline="")
    partial.replace(path)


def _request_rules() -> str:
    absurd = {
        f"{{ url,length gt {MAX_URL_BYTES} }}": 414,
        f"{{ req.fhdr_cnt() gt {MAX_HEADERS} }}": 431,
        f"{{ req.hdrs,length gt {MAX_HEADER_BYTES} }}": 431,
        "{ req.fhdr(x-request-id) -m reg '[^ -~]' }": 400,
        "{ req.fhdr(x-request-timeout-seconds) -m reg '[^ -~]' }": 400,
    }
    refusals = [f"    http-request return {_answer(status)} if {condition}" for condition, status in absurd.items()]
    return "\n".join([BUFFER_RULE, *refusals, REQUEST_ID_RULE, RECEIVED_AT_RULE, TIMEOUT_RULES, UNUSED_RULES])


def _grpc_routes(backends: list[tuple[str, str]]) -> list[str]:
    """The rules that choose an application for calls that name none; a backend and an application in each pair."""
    unset, to = "!{ req.hdr(application) -m found }", "    http-request set-header application"
    server = f"{{ path_beg {SERVICE}Server /grpc.reflection. }}"
    routes = [f"{to} {name} if {unset} {{ var(txn.model) -m str {name} }}" for _, name in backends]
    # What is asked of the whole server is answered by an application that is up, else by the ingress (UNAVAILABLE).
    routes += [f"{to} {name} if {unset} {server} {{ nbsrv({backend}) gt 0 }}" for backend, name in backends]
    routes += [f"{to} {name} if {unset} {server}" for _, name in backends[:1]]
    if any(name == POOL for _, name in backends):
        return [*routes, f"{to} {POOL} if {unset} {{ path_beg {SERVICE}Model }}"]
    if len(backends) < 2:
        return routes  # the one application says itself what it does not serve; without any, Ray does
    models = " or ".join(name for _, name in backends)
    sentence = f"the models here are {models}. Name one of them, or send the metadata application."
    answer = "    http-request return status 200 content-type application/grpc hdr grpc-status 5 hdr grpc-message"
    named = f"{{ path_beg {SERVICE}Model }}"
    return [
        *routes,
        f"""{answer} "There is no model '%[var(txn.model),url_enc]' here; {sentence}" if {unset} {named} """
        "{ var(txn.model) -m found }",
        f"""{answer} "The call names no model that can be read; {sentence}" if {unset} {named}""",
    ]


def _after(pattern: re.Pattern[str], lines: str, configuration: str) -> str:
    return _replace_once(pattern, lambda found: f"{found[0]}\n{lines}", configuration)


def _replace_once(
    pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], configuration: str
) -> str:
    changed, num_changes = pattern.subn(replacement, configuration)
    if num_changes != 1:
        raise ValueError(
            f"HAProxy's configuration has {num_changes} places for {pattern.pattern!r}, expected 1: "
            "this version of Ray renders it differently; adapt cluster/haproxy_launcher.py."
        )
    return changed


if __name__ == "__main__":
    main(sys.argv[1:])
