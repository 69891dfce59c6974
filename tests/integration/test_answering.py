"""When a deploy may end: what Serve's dashboard and the ingress say is played by two small servers; no Ray."""

import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster.answering import wait_until_answering
from heliostat.errors import ClusterError
from heliostat.settings import Settings

LIVE, ROUTES = "/toy/v2/health/live", "/-/routes"
NOT_FOUND, UP, NO_TOY, TOY = (404, "no path"), (200, '{"live": true}'), (200, '{"/a": "a"}'), (200, '{"/toy": "toy"}')


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=tmp_path, base_port=29_000 + os.getpid() % 900)
    made.token_path.write_text("token")
    return made


@contextmanager
def played(settings, *, replicas, answers):
    """The paths that were asked at the ingress, which gives those answers in turn, the last one for ever."""
    said = {"applications": {"toy": {"deployments": {"Predictor": {"replicas": replicas}}}}}
    asked = []

    def ingress(path):
        asked.append(path)
        return answers[min(len(asked), len(answers)) - 1]

    servers = [
        serving(settings.ports.dashboard, lambda _: (200, json.dumps(said))),
        serving(settings.ports.http, ingress),
    ]
    try:
        yield asked
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def serving(port, answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_it_waits_until_the_workload_itself_answers_twice_in_a_row(settings):
    with played(settings, replicas=[{}], answers=[NOT_FOUND, UP, NOT_FOUND, UP]) as asked:
        wait_until_answering(settings, "toy", application="toy", timeout_s=30)
        assert asked == [LIVE] * 5


def test_one_that_has_no_replica_while_nobody_asks_is_not_woken(settings):
    with played(settings, replicas=[], answers=[NO_TOY, TOY]) as asked:
        wait_until_answering(settings, "toy", application="toy", timeout_s=30)
        assert asked == [ROUTES] * 3


def test_one_that_never_answers_is_told_with_what_was_answered_instead(settings):
    with (
        played(settings, replicas=[{}], answers=[NOT_FOUND]),
        pytest.raises(ClusterError, match="did not answer for 'toy' within 0 s; the last answer was 404: no path"),
    ):
        wait_until_answering(settings, "toy", application="toy", timeout_s=0)
