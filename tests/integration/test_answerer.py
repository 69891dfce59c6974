"""What sees to long answers, on a real catalog: one job's trouble stays its own."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pyarrow as pa
import pytest
import ray

from actors import aftercare, answerer
from actors.aftercare import Aftercare
from heliostat import LongAnswers, answer_jobs
from heliostat.answer_jobs import AnswerJob
from heliostat.errors import ClusterError
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog

NOW = datetime.now(UTC)
KEEP = timedelta(days=7)


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    made = Catalog(Settings(home=tmp_path).catalog_url)
    made.create()
    for module in (aftercare, answerer):
        monkeypatch.setattr(module, "catalog", lambda: made)
    return made


def a_job(name, **fields):
    fixed = {"workload": "toy", "by": "caller-key", "digest": "d", "media_type": "application/json"}
    optional = {"folder": f"/tmp/{name}", "input_uri": None, "callback_url": None, "created_at": NOW}
    return AnswerJob(**{"job_id": name, **fixed, **optional, "expires_at": NOW + KEEP, **fields})


def stored(catalog, job):
    catalog.add_answer_job(job, by="test", at=NOW)
    return job


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_folder_that_cannot_be_removed_keeps_no_callback_waiting(catalog):
    stored(catalog, a_job("old", folder="no-such-store://x", status="done", expires_at=NOW - KEEP))
    catalog.put_webhook_secret("toy", "caller-key", "whsec_" + "A" * 44, by="test", at=NOW)
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        stored(catalog, a_job("new", status="done", callback_url=url, callback="pending", created_at=NOW + KEEP))
        with pytest.raises(pa.ArrowInvalid):  # said, so that v1/status has it
            Aftercare("toy", by="answerer/toy", waits_s=(1.0,)).step()
        server.shutdown()
    assert catalog.answer_job("toy", "new").callback == "delivered"
    assert catalog.answer_job("toy", "old").status == "done"


@pytest.fixture
def made(catalog, tmp_path, monkeypatch):
    """An answerer whose threads were never started, and a worker of which only its end is seen."""
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    killed = []
    worker = SimpleNamespace(call=SimpleNamespace(remote=lambda *given: given[0]))
    monkeypatch.setattr(ray, "wait", lambda asked, timeout: ([], asked))
    monkeypatch.setattr(ray, "get", lambda asked: 7)
    monkeypatch.setattr(ray, "kill", killed.append)
    made = answerer.Answerer("toy", module="m", worker="w:W", limits=LongAnswers(), settings=Settings(home=tmp_path))
    monkeypatch.setattr(made, "_up", lambda: worker)
    made._worker = worker
    return SimpleNamespace(answerer=made, worker=worker, killed=killed)


def champion(catalog):
    named = {"run_id": "r", "candidate": "c", "kind": "network", "bundle_uri": "/b", "bundle_hash": "h"}
    number = catalog.register("toy", **named, lineage={}, scores={}, by="test", at=NOW)
    catalog.promote("toy", number, reasons=(), inputs={}, by="test", at=NOW)


def test_a_worker_ends_when_the_catalog_is_lost_from_sight(catalog, made, monkeypatch):
    champion(catalog)
    stored(catalog, a_job("j"))
    change = catalog.change_answer_job

    def once(job, **named):
        if job.num_done:
            raise ClusterError("The catalog did not answer.")
        return change(job, **named)

    monkeypatch.setattr(catalog, "change_answer_job", once)
    with pytest.raises(ClusterError):
        made.answerer._answer_next()
    assert made.killed == [made.worker], "or the next attempt would run beside it"


def test_a_caller_is_not_shown_the_inside_of_a_worker_that_failed(catalog, made):
    job = stored(catalog, replace(a_job("j"), status="running", attempt=answer_jobs.MAX_ATTEMPTS, version=1))
    secret = OSError("No space left on /secret/place")
    made.answerer._lose(job, ray.exceptions.RayTaskError("call", "a trace with /secret/place", secret))
    told = answer_jobs.shown(catalog.answer_job("toy", "j"))
    assert (told["status"], "OSError" in told["error"], "/secret" in told["error"]) == ("failed", True, False)
    (entry,) = catalog.entries("toy", kind="answer_job_lost")
    assert "/secret/place" in entry.payload["why"]
