"""A row that was answered lately gets the very same answer, is logged like any other, and a promotion forgets it."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from heliostat.declared.cache import Cache
from heliostat.declared.serving import Serving
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.integration.test_predictor_http import predictions
from tests.integration.test_shadow import settled, shadows
from tests.toy import workload

CACHED = replace(workload, serving=Serving(cache=Cache()))
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2 * number} for number in range(40)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    return {number: make_bundle(home, "tests.toy", seed=number) for number in (1, 2)}


def hits(served):
    return served.predictor.status()["cache"]["num_hits"]


def test_a_hit_is_the_same_answer_bit_for_bit_and_a_prediction_of_its_own(bundles, tmp_path):
    async def scenario():
        async with serving(CACHED, tmp_path, record(bundles)) as served:
            first = await served.predict(*ROWS)
            # In another batch, with other keys, and 40.0 for 40: the contract makes them the same features.
            again = await served.predict({**ROWS[20], "reading": "other", "load_percent": 40.0}, ROWS[3])
            status = served.predictor.status()["cache"]
        assert again["predictions"] == [first["predictions"][20], first["predictions"][3]]
        assert (status["num_rows"], status["num_hits"], status["num_entries"]) == (42, 2, 40)
        logged = predictions(tmp_path)
        assert [row["id"] for row in logged] == first["ids"] + again["ids"]
        assert len({row["id"] for row in logged}) == 42
        assert [row["probability"] for row in logged[40:]] == again["predictions"]

    run(scenario)


def test_a_promotion_needs_no_clearing_and_a_rollback_finds_what_was_kept(bundles, tmp_path):
    async def scenario():
        async with serving(CACHED, tmp_path, record(bundles)) as served:
            before = await served.predict(*ROWS)
            await served.predictor.reconfigure(record(bundles, epoch=2, champion=2, previous=1))
            promoted = await served.predict(*ROWS)
            assert hits(served) == 0
            await served.predictor.reconfigure(record(bundles, epoch=3, champion=1, previous=2))
            back = await served.predict(*ROWS)
            assert hits(served) == 40
        assert not np.allclose(before["predictions"], promoted["predictions"], atol=1e-3)
        assert back["predictions"] == before["predictions"]

    run(scenario)


def test_rows_that_were_hits_are_put_to_the_candidate_and_say_nothing_about_time(bundles, tmp_path):
    async def scenario():
        async with serving(CACHED, tmp_path, record(bundles)) as served:
            await served.predict(*ROWS)
            await served.predictor.reconfigure(record(bundles, epoch=2, candidate=2, share=0.0))
            hit = await served.predict(*ROWS)
            await settled(served, 40)
            assert hits(served) == 40
        found = shadows(tmp_path)
        assert [row["id"] for row in found] == hit["ids"]
        assert {row["answer_latency_ms"] for row in found} == {None}
        assert min(row["latency_ms"] for row in found) > 0

    run(scenario)


def test_without_a_declaration_nothing_is_kept(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            assert served.predictor.status()["cache"] is None

    run(scenario)


def test_answers_of_many_callers_at_once_are_their_own(bundles, tmp_path):
    async def scenario():
        async with serving(CACHED, tmp_path, record(bundles), max_rows_inline=2) as served:
            alone = {row["reading"]: (await served.predict(row))["predictions"][0] for row in ROWS}
            both = await asyncio.gather(*(served.predict(row) for row in ROWS * 3))
            assert hits(served) == 120
        assert [answer["predictions"][0] for answer in both] == [alone[row["reading"]] for row in ROWS * 3]

    run(scenario)
