"""What Prometheus gets from a replica, with the monitor there and away."""

import pytest

from heliostat.serving.problem import UnavailableError
from tests.integration.predictor_fixture import record, run, serving
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
