"""More work than a replica can do: what cannot be answered in time is told so early, and the rest is answered."""

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest

from heliostat.declared.serving import Serving
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from tests.integration.predictor_fixture import ROW, changed_toy, make_bundle, plaintext, record, run, serving
from tests.toy import workload

PREDICT = "/v1/predict"
BATCH_S = 0.2
SLOW = ("    missing = np.isnan", f"    __import__('time').sleep({BATCH_S})\n    missing = np.isnan")
ROWS = [ROW] * 10


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(home))
        slow = changed_toy(home, "toy_slow", SLOW)
        return {1: make_bundle(home, slow, seed=1)}


async def ask(served, *, timeout_s=None, rows=ROWS):
    headers = {} if timeout_s is None else {"X-Request-Timeout-Seconds": str(timeout_s)}
    started_s = time.perf_counter()
    async with served.client("caller", **headers) as client:
        response = await client.post(PREDICT, json={"rows": rows})
    return response, time.perf_counter() - started_s


def slow_replica(home, bundles, **limits):
    limited = replace(workload, serving=Serving(**limits))
    # A batch holds one request, so that requests wait for each other.
    return serving(limited, home, record(bundles), max_rows_inline=0, max_rows_per_batch=10)


def test_what_cannot_be_answered_in_time_is_refused_at_once_and_the_rest_is_answered(bundles, tmp_path):
    async def scenario():
        async with slow_replica(tmp_path, bundles) as served:
            for _ in range(3):
                await ask(served)
            asked = await asyncio.gather(*(ask(served, timeout_s=2) for _ in range(60)))
            status = served.predictor.status()
            after, _ = await ask(served, timeout_s=2)
        counts = Counter(response.status_code for response, _ in asked)
        assert set(counts) == {200, 503}
        assert counts[200] + counts[503] == 60
        assert 1 <= counts[200] <= 11
        assert status["num_shed"] == counts[503]
        assert after.status_code == 200
        for response, elapsed_s in asked:
            if response.status_code == 503:
                assert int(response.headers["Retry-After"]) >= 1
                assert response.headers["Content-Type"] == "application/problem+json"
                assert elapsed_s < 3

    run(scenario)


def test_the_queue_does_not_grow_past_its_rows(bundles, tmp_path):
    async def scenario():
        async with slow_replica(tmp_path, bundles, max_waiting_rows=50) as served:
            asked = await asyncio.gather(*(ask(served) for _ in range(20)))
        counts = Counter(response.status_code for response, _ in asked)
        # Five fit at once; while the others come, one or another batch may be done.
        assert 5 <= counts[200] <= 10
        assert counts[200] + counts[503] == 20
        refused = next(response for response, _ in asked if response.status_code == 503)
        assert "50" in refused.json()["detail"]

    run(scenario)


def test_an_expired_request_is_dropped_before_the_model_runs_and_not_logged(bundles, tmp_path):
    async def scenario():
        async with slow_replica(tmp_path, bundles) as served:
            first = asyncio.ensure_future(ask(served))
            await asyncio.sleep(BATCH_S / 4)
            # Nothing was measured yet, so the queue takes it; its time is over when its turn comes.
            late, _ = await ask(served, timeout_s=BATCH_S / 2)
            done, _ = await first
        assert (done.status_code, late.status_code) == (200, 503)
        assert "dropped" in late.json()["detail"]
        (segment,) = sealed(tmp_path / "segments" / "toy", "predictions")
        logged = read_segment(segment, prediction_schema(workload.columns, with_commit=False))
        assert logged["id"].to_pylist() == done.json()["ids"]

    run(scenario)


def test_a_body_that_trickles_in_ends_with_the_time_of_its_request(bundles, tmp_path):
    # httpx hands the whole body to an application in this process, so ASGI is spoken by hand.
    async def scenario():
        async with slow_replica(tmp_path, bundles) as served:
            sent = []

            async def receive():
                await asyncio.sleep(0.02)
                return {"type": "http.request", "body": b" ", "more_body": True}

            async def send(message):
                sent.append(message)

            headers = {
                "content-type": "application/json",
                "x-request-timeout-seconds": "0.2",
                "authorization": f"Bearer {plaintext('caller')}",
            }
            scope = {
                "type": "http",
                "method": "POST",
                "path": PREDICT,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
            started_s = time.perf_counter()
            await served.app(scope, receive, send)
        assert sent[0]["status"] == 408
        assert time.perf_counter() - started_s < 2

    run(scenario)


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "soon", "1e9"])
def test_a_timeout_that_is_no_usable_number_is_told(bundles, tmp_path, timeout):
    async def scenario():
        async with slow_replica(tmp_path, bundles) as served:
            response, _ = await ask(served, timeout_s=timeout)
        assert (response.status_code, timeout in response.json()["detail"]) == (400, True)

    run(scenario)


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/toy/infer"])
def test_a_full_replica_refuses_a_body_before_it_reads_it(bundles, tmp_path, path):
    async def scenario():
        num_bytes, sent = 0, []

        async def receive():
            nonlocal num_bytes
            num_bytes += 1_000_000
            return {"type": "http.request", "body": b" " * 1_000_000, "more_body": num_bytes < 9_000_000}

        async def send(message):
            sent.append(message)

        headers = {"content-type": "application/json", "content-length": "9000000"}
        headers |= {"authorization": f"Bearer {plaintext('caller')}"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with slow_replica(tmp_path, bundles, max_waiting_rows=20) as served:
            before = [asyncio.ensure_future(ask(served)) for _ in range(2)]
            while served.predictor._batcher.size_ahead < 20:
                await asyncio.sleep(0.005)
            scope = {"type": "http", "method": "POST", "path": path, "headers": raw}
            await served.app(scope, receive, send)
            assert (sent[0]["status"], num_bytes) == (503, 0)
            assert b"retry-after" in dict(sent[0]["headers"])
            assert [response.status_code for response, _ in await asyncio.gather(*before)] == [200, 200]

    run(scenario)
