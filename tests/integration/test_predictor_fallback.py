"""What answers when a version cannot: the next one, and in the end the workload's declared default; and rate limits."""

import asyncio
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from heliostat.declared.serving import Serving
from heliostat.serving.arrow_stream import ARROW
from heliostat.serving.breaker import FIRST_REST_S, MAX_FAILURES, Breaker
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from serve_apps.engine.versions import Scorer
from tests.integration.predictor_fixture import FRAGILE, LOAD, ROW, changed_toy, make_bundle, record, run, serving
from tests.toy import workload

PREDICT = "/v1/predict"
GOOD, BAD = {**ROW, "load_percent": 10}, {**ROW, "load_percent": 95}
DEFAULT = replace(workload, serving=Serving(default=0.125))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    sys.path.insert(0, str(home))
    try:
        fragile = changed_toy(home, "toy_fragile_too", FRAGILE)
        return {
            1: make_bundle(home, "tests.toy", seed=1),
            3: make_bundle(home, fragile, seed=3),
            4: make_bundle(home, fragile, seed=4),
        }
    finally:
        sys.path.remove(str(home))


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


def with_clock(served):
    clock = Clock()
    served.predictor._scorer = Scorer(clock)
    return clock


def test_candidate_champion_previous_in_this_order_and_the_reason_is_said(bundles, tmp_path):
    async def scenario():
        route = {"candidate": 4, "share": 1.0, "champion": 3, "previous": 1}
        async with serving(workload, tmp_path, record(bundles, **route)) as served:
            good, bad = await served.predict(GOOD), await served.predict(BAD)
        assert (good["model_version"], good["degraded"], good["degraded_reason"]) == (4, False, None)
        assert (bad["model_version"], bad["degraded"]) == (1, True)
        assert bad["degraded_reason"] == "version 4 failed on these rows; version 1 answered"

    run(scenario)


def test_the_declared_default_answers_last_and_is_logged_as_no_version(bundles, tmp_path):
    async def scenario():
        async with serving(DEFAULT, tmp_path, record(bundles, champion=3)) as served:
            answer = await served.predict(BAD)
            async with served.client("caller", Accept=ARROW) as client:
                stream = await client.post(PREDICT, json={"rows": [BAD]})
        assert (answer["predictions"], answer["confidence"], answer["model_version"]) == ([0.125], [0.875], 0)
        assert answer["degraded_reason"] == "version 3 failed on these rows; the workload's default answered"
        metadata = pa.ipc.open_stream(stream.content).schema.metadata
        assert metadata[b"degraded"] == b"true"
        assert metadata[b"degraded_reason"].decode() == answer["degraded_reason"]
        (segment,) = sealed(tmp_path / "segments" / "toy", "predictions")
        logged = read_segment(segment, prediction_schema(workload.columns, with_commit=False)).to_pylist()
        assert [(row["version"], row["degraded"], row["probability"]) for row in logged] == [(0, True, 0.125)] * 2

    run(scenario)


def test_without_a_default_nothing_is_made_up(bundles, tmp_path):
    async def scenario():
        route = record(bundles, champion=3)
        async with serving(workload, tmp_path, route) as served, served.client("caller") as client:
            response = await client.post(PREDICT, json={"rows": [BAD]})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "Version 3 failed on these rows" in response.json()["detail"]

    run(scenario)


@pytest.mark.parametrize("previous", [None, 1])
def test_rows_that_a_version_cannot_answer_cost_nobody_else_of_the_same_batch(bundles, tmp_path, previous):
    asked = [GOOD, BAD, GOOD, GOOD, BAD, GOOD]
    poisoned = f"    assert len({LOAD}) > 6 or {LOAD}.max() < 90\n    missing = np.isnan"
    bundle = made_of(tmp_path, f"toy_poisoned_{previous}", ("    missing = np.isnan", poisoned))

    async def scenario():
        route = record({1: bundles[1], 3: bundle}, champion=3, previous=previous)
        async with serving(workload, tmp_path, route) as served, served.client("caller") as client:
            for _ in range(MAX_FAILURES):
                posts = [client.post(PREDICT, json={"rows": [row]}) for row in asked]
                for row, response in zip(asked, await asyncio.gather(*posts), strict=True):
                    if row is GOOD:
                        said = response.json()
                        assert (said["model_version"], said["degraded"], said["degraded_reason"]) == (3, False, None)
                    else:
                        assert (response.status_code, previous) in [(503, None), (200, 1)]
            assert served.predictor.status()["breakers"]["3"] == "closed"
        logged = [
            row["version"]
            for segment in sealed(tmp_path / "segments" / "toy", "predictions")
            for row in read_segment(segment, prediction_schema(workload.columns, with_commit=False)).to_pylist()
        ]
        assert Counter(logged) == Counter({3: 4 * MAX_FAILURES} | ({1: 2 * MAX_FAILURES} if previous else {}))

    run(scenario)


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", 'raise type("Panic", (BaseException,), {})("in Rust")'])
def test_a_version_that_would_end_the_process_fails_as_any_other(bundles, tmp_path, ending):
    leaves = f"    if len({LOAD}) == 1 and {LOAD}[0] > 90:\n        {ending}\n    missing = np.isnan"
    bundle = made_of(tmp_path, f"toy_leaves_{len(ending)}", ("    missing = np.isnan", leaves))

    async def scenario():
        async with serving(workload, tmp_path, record({1: bundles[1], 2: bundle}, champion=2, previous=1)) as served:
            bad, good = await served.predict(BAD), await served.predict(GOOD)
        assert bad["degraded_reason"] == "version 2 failed on these rows; version 1 answered"
        assert (good["model_version"], good["degraded"]) == (2, False)

    run(scenario)


def test_a_version_that_would_end_the_process_when_it_is_loaded_is_not_promoted(bundles, tmp_path):
    leaves = f"    if len({LOAD}) == 64:\n        raise SystemExit(3)\n    missing = np.isnan"
    bundle = made_of(tmp_path, "toy_leaves_at_once", ("    missing = np.isnan", leaves))

    async def scenario():
        async with serving(workload, tmp_path, record({1: bundles[1]})) as served:
            served.steering.bundle_by_number = {2: bundle}
            async with served.client("operator") as client:
                refused = await client.post("/v1/promote", json={"version": 2})
            await served.predictor.reconfigure(record({1: bundles[1], 2: bundle}, epoch=2, champion=2))
            answer = await served.predict(GOOD)
        assert (refused.status_code, "ended with SystemExit" in refused.json()["detail"]) == (409, True)
        assert answer["model_version"] == 1

    run(scenario)


def made_of(directory, name, change):
    sys.path.insert(0, str(directory))
    try:
        return make_bundle(directory, changed_toy(directory, name, change), seed=2)
    finally:
        sys.path.remove(str(directory))


def test_a_version_that_keeps_failing_rests_and_comes_back(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, champion=3, previous=1)) as served:
            clock = with_clock(served)
            for _ in range(MAX_FAILURES):
                assert (await served.predict(BAD))["degraded"]
            resting = await served.predict(GOOD)
            states = [served.predictor.status()["breakers"]]
            clock.now_s = FIRST_REST_S
            states.append(served.predictor.status()["breakers"])
            back = await served.predict(GOOD)
            states.append(served.predictor.status()["breakers"])
            errors = served.predictor.status()["num_errors_by_version"]
        assert (resting["model_version"], resting["degraded"]) == (1, True)
        assert resting["degraded_reason"] == "version 3 rests after 5 failures in a row; version 1 answered"
        assert (back["model_version"], back["degraded"]) == (3, False)
        assert [state["3"] for state in states] == ["open", "half-open", "closed"]
        assert {state["1"] for state in states} == {"closed"}
        assert errors == {"3": MAX_FAILURES}

    run(scenario)


def test_each_request_of_a_batch_is_told_of_its_own_rows(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, champion=1, candidate=3, share=0.5)) as served:
            with_clock(served)
            served.predictor._scorer._breakers = {(3, bundles[3].hash): _open()}
            answers = await asyncio.gather(*(served.predict({**GOOD, "reading": f"r-{n}"}) for n in range(40)))
        degraded = [answer["degraded"] for answer in answers]
        assert 5 < sum(degraded) < 35
        assert [answer["degraded_reason"] is not None for answer in answers] == degraded
        assert np.isfinite([answer["predictions"][0] for answer in answers]).all()

    run(scenario)


def _open():
    breaker = Breaker()
    for _ in range(MAX_FAILURES):
        breaker = breaker.failed(0.0)
    return breaker


def test_a_key_that_asks_too_often_is_told_to_wait_and_the_others_are_not(bundles, tmp_path):
    limited = replace(workload, serving=Serving(num_replicas=1, requests_per_s=0.5, burst_requests=3))

    async def scenario():
        async with serving(limited, tmp_path, record(bundles)) as served:
            async with served.client("caller") as client:
                responses = [await client.post(PREDICT, json={"rows": [ROW]}) for _ in range(5)]
            async with served.client("operator") as client:
                other = await client.post(PREDICT, json={"rows": [ROW]})
                steering = [(await client.post("/v1/hold")).status_code for _ in range(6)]
            async with served.client(None) as client:
                health = [(await client.get("/v2/health/live")).status_code for _ in range(6)]
        assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
        assert responses[-1].headers["Retry-After"] == "2"
        assert "0.5 requests a second" in responses[-1].json()["detail"]
        assert other.status_code == 200
        assert set(steering) == set(health) == {200}

    run(scenario)
