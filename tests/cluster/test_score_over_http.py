"""A long answer whose worker and then whose keeper are killed: finished once, told once it can be told, found by id."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import signal
import threading
import urllib.request

import pyarrow as pa
import pytest

from heliostat.serving.arrow_stream import ARROW
from heliostat.store.lake import Lake
from tests.cluster.conftest import Installation

MODULE, NAME = "tests.toy", "toy"
SINCE = "2024-03-01"
NUM_ROWS = 100_000
PORT = 31990


class Hook(http.server.BaseHTTPRequestHandler):
    """Refuses the first call, redirects the second, takes the third."""

    heard: list = []  # noqa: RUF012 - one server in one test

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Hook.heard.append((self.path, dict(self.headers), body))
        status = {1: 500, 2: 302}.get(len(Hook.heard), 204)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"http://127.0.0.1:{PORT}/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Hook.heard
    server.shutdown()
    server.server_close()


def ask(installation, method, path, *, body=None, headers=None, role="caller"):
    url = f"{installation.settings.http_url}/{NAME}/{path}"
    given = {"Authorization": f"Bearer {installation.key(role)}", **(headers or {})}
    request = urllib.request.Request(url, data=body, method=method, headers=given)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status, response.read()


def stream():
    table = pa.table(
        {
            "reading": [f"long-{number}" for number in range(NUM_ROWS)],
            "load_percent": [float(number % 90) for number in range(NUM_ROWS)],
            "site": ["alpha"] * NUM_ROWS,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.ray
def test_an_accepted_job_survives_the_kill_of_worker_and_keeper_and_ends_once(
    installation: Installation, wait_until, hook
):
    installation.bring_up_once(MODULE, since=SINCE)
    secret = json.loads(ask(installation, "POST", "v1/webhook-secret")[1])["secret"]
    headers = {
        "Content-Type": ARROW,
        "Idempotency-Key": "night-1",
        "X-Callback-Url": f"http://127.0.0.1:{PORT}/hooks/done",
    }
    body = stream()
    status, answer = ask(installation, "POST", "v1/jobs", body=body, headers=headers)
    job_id = json.loads(answer)["id"]
    assert status == 202

    def state():
        return json.loads(ask(installation, "GET", f"v1/jobs/{job_id}")[1])

    for title in ("ray::ByName", "ray::Answerer", f"ray::ServeReplica:{NAME}"):
        (pid, *_) = wait_until(lambda title=title: installation.pids(title), 60)
        os.kill(pid, signal.SIGKILL)
    ended = wait_until(lambda: (found := state())["status"] == "done" and found, 120)
    assert (ended["num_rows"], ended["num_rejected"]) == (NUM_ROWS, 0)
    assert ended["attempt"] >= 2
    again = json.loads(ask(installation, "POST", "v1/jobs", body=body, headers=headers)[1])
    assert (again["id"], again["status"]) == (job_id, "done")

    result = pa.ipc.open_stream(ask(installation, "GET", f"v1/jobs/{job_id}/result", headers={"Accept": ARROW})[1])
    table = result.read_all()
    assert table["row"].to_pylist() == list(range(NUM_ROWS))
    wait_until(lambda: state()["callback"]["state"] == "delivered", 30)
    assert [path for path, *_ in hook] == ["/hooks/done"] * 3
    _, headers, told = hook[-1]
    given = {name.lower(): value for name, value in headers.items()}
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + told
    assert (
        given["webhook-signature"] == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    )
    assert json.loads(told)["data"]["status"] == "done"

    schema = pa.schema([("id", pa.string()), ("request_id", pa.string())])

    def logged():
        found = Lake(installation.settings.lake_uri).read(
            NAME, "predictions", columns=["id", "request_id"], where=[("request_id", "=", job_id)], schema=schema
        )
        return found if found.num_rows >= NUM_ROWS else None

    rows = wait_until(logged, 60)
    assert rows.num_rows == NUM_ROWS
    assert set(rows["id"].to_pylist()) == set(table["id"].to_pylist())
    why = json.loads(ask(installation, "GET", f"v1/predictions/{table['id'][5].as_py()}")[1])
    assert why["prediction"]["key"] == "long-5"
