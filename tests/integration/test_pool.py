"""Many small models in one process: loaded when asked, dropped when not, each with its own log, keys and faults."""

import asyncio
import contextlib
import shutil
import sys
from dataclasses import replace

import pytest

from heliostat.records import KeyRecord, key_hash
from heliostat.serving.problem import UnavailableError
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from tests.integration.pool_fixture import declared, make_module, member, pool_record, pooling
from tests.integration.predictor_fixture import OTHER_ENCODING, ROW, changed_toy, make_bundle, plaintext, run
from tests.toy import workload

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The declarations of three workloads, and two versions that any of them may serve."""
    home = tmp_path_factory.mktemp("made")
    sys.path.insert(0, str(home))
    try:
        modules = {name: make_module(home, name) for name in NAMES}
        modules["default"] = make_module(home, "default", serving="default=0.25")
        other = changed_toy(home, "toy_pooled_other", OTHER_ENCODING)
        return {
            "declared": {name: declared(home, module) for name, module in modules.items()},
            "bundles": {1: make_bundle(home, "tests.toy", seed=1), 2: make_bundle(home, other, seed=2)},
            "home": home,
        }
    finally:
        sys.path.remove(str(home))


def broken(made, tmp_path, number=2):
    """The reference of a bundle that is not there any more."""
    ref = made["bundles"][number]
    return replace(ref, uri=str(tmp_path / "nowhere"))


def members(made, *names, **others):
    bundles = {1: made["bundles"][1]}
    return {name: member(made["declared"][name], bundles, **others) for name in names}


def test_nothing_is_loaded_before_it_is_asked_for_and_then_once(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, *NAMES))) as served:
            assert served.loaded == {}
            answers = await asyncio.gather(*(served.predict("one", ROW) for _ in range(8)))
            assert served.loaded == {"one": [1]}
            assert {answer["model_version"] for answer in answers} == {1}
            assert served.pool.shelf.num_loads == 1
            await served.predict("one", ROW)
            assert served.pool.shelf.num_hits == 1

    run(scenario)


def test_the_least_recently_used_is_dropped_and_comes_back_with_the_same_answer(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, *NAMES), max_loaded_models=2)) as served:
            first = await served.predict("one", ROW)
            await served.predict("two", ROW)
            await served.predict("three", ROW)
            assert served.loaded == {"two": [1], "three": [1]}
            again = await served.predict("one", ROW)
            assert served.loaded == {"three": [1], "one": [1]}
            assert again["predictions"] == first["predictions"]
            assert served.pool.shelf.status()["num_drops"] == 2

    run(scenario)


def test_others_are_answered_while_a_cold_model_loads(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            await served.predict("one", ROW)
            is_held, may_go_on = asyncio.Event(), asyncio.Event()
            cold = served.pool.member_by_name["two"].predictor
            load = cold._in_loader

            async def slow(route, bundle_by_number):
                is_held.set()
                await may_go_on.wait()
                return await load(route, bundle_by_number)

            cold._in_loader = slow
            waiting = asyncio.create_task(served.predict("two", ROW))
            await is_held.wait()
            assert (await served.predict("one", ROW))["model_version"] == 1
            assert not waiting.done()
            may_go_on.set()
            assert (await waiting)["model_version"] == 1

    run(scenario)


def test_every_workload_logs_for_itself(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            await served.predict("one", ROW)
            await served.predict("two", ROW, ROW)
        for name, num_rows in (("one", 1), ("two", 2)):
            (segment,) = sealed(tmp_path / "segments" / name, "predictions")
            rows = read_segment(segment, prediction_schema(workload.columns, with_commit=False))
            assert rows.num_rows == num_rows

    run(scenario)


def test_a_promotion_loads_its_own_version_and_touches_no_other_workload(made, tmp_path):
    async def scenario():
        bundles = made["bundles"]
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            before = await served.predict("one", ROW)
            await served.predict("two", ROW)
            held = served.pool.member_by_name["two"].predictor.live
            own = served.pool.member_by_name["one"].predictor.live.version_by_number[1]
            promoted = member(made["declared"]["one"], bundles, epoch=2, champion=2, previous=1)
            await served.pool.reconfigure(pool_record({**members(made, "two"), "one": promoted}))
            after = await served.predict("one", ROW)
            assert (before["model_version"], after["model_version"]) == (1, 2)
            assert served.pool.member_by_name["two"].predictor.live is held
            assert served.pool.member_by_name["one"].predictor.live.version_by_number[1] is own
            assert served.pool.shelf.num_loads == 2

    run(scenario)


def test_a_promoted_version_that_cannot_be_loaded_is_refused_and_the_old_one_goes_on(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            bad = {1: made["bundles"][1], 2: broken(made, tmp_path)}
            promoted = member(made["declared"]["one"], bad, epoch=2, champion=2, previous=1)
            await served.pool.reconfigure(pool_record({**members(made, "two"), "one": promoted}))
            assert (await served.predict("one", ROW))["model_version"] == 1
            async with served.client("viewer") as client:
                status = (await client.get("/one/v1/status")).json()
            assert "nowhere" in status["last_error"]["detail"]
            assert (await served.predict("two", ROW))["degraded"] is False

    run(scenario)


def test_a_cold_champion_that_cannot_be_loaded_hurts_its_own_workload_only(made, tmp_path):
    async def scenario():
        bad = {1: made["bundles"][1], 2: broken(made, tmp_path)}
        record = {
            **members(made, "one"),
            "two": member(made["declared"]["two"], bad, champion=2, previous=1),
            "three": member(made["declared"]["three"], bad, champion=2),
            "default": member(made["declared"]["default"], bad, champion=2),
        }
        async with pooling(tmp_path, pool_record(record)) as served:
            assert (await served.predict("one", ROW))["degraded"] is False
            fallen = await served.predict("two", ROW)
            assert (fallen["model_version"], fallen["degraded"]) == (1, True)
            assert fallen["degraded_reason"] == "version 2 is not loaded; version 1 answered"
            refused = await served.ask("three", ROW)
            assert refused.status_code == 503
            assert (await served.predict("default", ROW))["predictions"] == [0.25]

    run(scenario)


def test_a_bundle_that_was_away_for_a_moment_is_loaded_later(made, tmp_path):
    async def scenario():
        hidden = shutil.copytree(made["bundles"][1].uri, tmp_path / "hidden")
        away = replace(made["bundles"][1], uri=str(tmp_path / "here"))
        record = {"one": member(made["declared"]["one"], {1: away})}
        async with pooling(tmp_path, pool_record(record), retry_after_s=0.05) as served:
            assert (await served.ask("one", ROW)).status_code == 503
            hidden.rename(tmp_path / "here")
            await asyncio.sleep(0.06)
            assert (await served.predict("one", ROW))["model_version"] == 1

    run(scenario)


def test_a_declaration_that_cannot_be_read_is_said_to_its_callers_and_tried_again(made, tmp_path):
    async def scenario():
        there = made["declared"]["two"]
        lost = {**there, "uri": str(tmp_path / "declared")}
        record = {**members(made, "one"), "two": {**members(made, "two")["two"], "declaration": lost}}
        async with pooling(tmp_path, pool_record(record), retry_after_s=0.05) as served:
            refused = await served.ask("two", ROW)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "'two' cannot be served: BundleError" in refused.json()["detail"]
            assert (await served.predict("one", ROW))["degraded"] is False
            again = asyncio.create_task(served.pool.reconfigure(pool_record(record)))
            said = []
            while not again.done():
                said.append(type(served.pool.why_not("two")))
                await asyncio.sleep(0)
            assert set(said) == {UnavailableError}, "while it is tried again it is not gone"
            shutil.copytree(there["uri"], tmp_path / "declared")
            await asyncio.sleep(0.3)
            assert (await served.predict("two", ROW))["model_version"] == 1

    run(scenario)


def test_a_request_that_waits_when_its_workload_is_replaced_or_taken_out_is_answered(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            await served.predict("one", ROW)
            before = served.pool.member_by_name["one"]
            waiting = asyncio.create_task(served.ask("one", ROW))
            while not before.predictor._batcher.size_ahead:
                await asyncio.sleep(0)
            # In one step, as it may happen: reconfigure takes it out before the waiting row has its turn.
            taken_out = served.pool.reconfigure(pool_record(members(made, "two")))
            with contextlib.suppress(StopIteration):
                taken_out.send(None)
            assert "one" not in served.pool.member_by_name
            response = await waiting
            assert (response.status_code, response.json().get("degraded")) == (200, False), response.text
            assert served.pool.shelf.status()["num_models"] == 0
            taken_out.close()

    run(scenario)


def test_a_keys_allowance_is_shared_out_among_the_replicas_of_the_pool(made, tmp_path):
    async def scenario():
        record = pool_record(members(made, "one"), num_replicas=2)
        limited = {**record["keys"][1], "requests_per_s": 0.001, "burst_requests": 4}
        assert limited["role"] == "caller"
        record["keys"][1] = limited
        async with pooling(tmp_path, record) as served:
            assert [(await served.ask("one", ROW)).status_code for _ in range(3)] == [200, 200, 429]

    run(scenario)


def test_keys_contract_and_address_are_each_workloads_own(made, tmp_path):
    async def scenario():
        record = pool_record(members(made, "one", "two"))
        own = KeyRecord(key_id="own", hash=key_hash(plaintext("own")), role="caller", name="own", workload="one")
        record["keys"].append(own.to_json())
        async with pooling(tmp_path, record) as served:
            assert (await served.ask("one", ROW, role="own")).status_code == 200
            assert (await served.ask("two", ROW, role="own")).status_code == 401
            assert (await served.ask("one", ROW, role=None)).status_code == 401
            assert (await served.ask("four", ROW)).status_code == 404
            assert served.loaded == {"one": [1]}
            async with served.client("viewer") as client:
                assert (await client.get("/two/v2/models/two")).json()["versions"] == ["1"]
                assert (await client.get("/two/v2/models/two/ready")).status_code == 200
                assert (await client.get("/two/v2/models/one")).status_code == 404
                assert (await client.get("/")).status_code == 404

    run(scenario)


def test_a_workload_deployed_anew_answers_by_its_new_declaration_and_one_taken_out_does_not(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made, "one", "two"))) as served:
            await served.predict("one", ROW)
            changed = {**members(made, "one")["one"], "declaration": made["declared"]["default"]}
            await served.pool.reconfigure(pool_record({"one": changed}))
            assert served.pool.member_by_name["one"].predictor.config.limits.default == 0.25
            assert (await served.predict("one", ROW))["model_version"] == 1
            assert (await served.ask("two", ROW)).status_code == 404

    run(scenario)
