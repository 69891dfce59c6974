"""What Prometheus gets from a replica, with the monitor there and away."""

import asyncio

import pytest

from heliostat.serving.problem import UnavailableError
from serve_apps import failures
from tests.integration.predictor_fixture import ROW, record, run, serving
from tests.toy_quick import workload


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("heliostat_monitor_up 1\n", "heliostat_monitor_up 1"), (UnavailableError("away"), "} 0.0")],
)
def test_a_scrape_is_answered_whether_the_monitor_is_there_or_not(tmp_path, answer, expected):
    async def scenario():
        async with serving(workload, tmp_path, record({}, champion=None)) as served:

            async def metrics():
                if isinstance(answer, Exception):
                    raise answer
                return answer

            served.steering.metrics = metrics
            async with served.client("viewer") as client:
                response = await client.get("/v1/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert expected in response.text

    run(scenario)


def test_a_scrape_needs_a_key(tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record({}, champion=None)) as served, served.client(None) as client:
            assert (await client.get("/v1/metrics")).status_code == 401

    run(scenario)


def test_requests_that_fail_are_counted_by_status_told_to_the_monitor_and_in_the_status(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "TELL_AFTER_S", 0.05)

    async def scenario():
        async with (
            serving(workload, tmp_path, record({}, champion=None)) as served,
            served.client("caller") as client,
            served.client(None) as nobody,
        ):
            assert (await client.post("/v1/predict", json={"rows": [{}]})).status_code == 422
            assert (await client.post("/v1/predict", json={"rows": [{**ROW, "color": 1}]})).status_code == 422
            assert (await client.get("/v1/nowhere")).status_code == 404
            assert (await nobody.get("/v1/status")).status_code == 401
            assert (await client.get("/v1/status")).status_code == 200
            await asyncio.sleep(0.3)
            expected = {"401": 1, "404": 1, "422": 2}
            assert (await client.get("/v1/status")).json()["num_failed_by_status"] == expected
        (told,) = [said for kind, _, said in served.steering.asked if kind == "failed"]
        assert told == expected

    run(scenario)
