"""A candidate is asked for the callers' rows when their answers are gone: no caller waits, whatever it does."""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta

import numpy as np
import pytest

from actors.trial import compare
from heliostat import Loop
from heliostat.gates import Promote
from heliostat.govern.events import Asked, RunEnded, TrialSeen
from heliostat.govern.turn import LoopState
from heliostat.serving.instants import instant
from heliostat.serving.routing import arm, route_of
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.store.schema import shadow_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from serve_apps.engine import shadow
from tests.integration.predictor_fixture import ROW, changed_toy, make_bundle, record, run, serving
from tests.integration.test_predictor_http import expected
from tests.toy import workload

ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2 * number} for number in range(40)]
ENCODE = '    temperature = batch["temperature_c"].astype(np.float32)\n'
# What a bad version may do to the rows of a caller; in training and when it is warmed up it behaves.
CHANGE_BY_NAME = {
    "slow": "import time; time.sleep(0.2)",
    "busy": "import time; end = time.monotonic() + 0.2; all(time.monotonic() < end for _ in iter(int, 1))",
    "raising": "raise ArithmeticError('no answer to these')",
    "dying": "import os; os._exit(3)",
}


def on_callers_rows(line):
    return ENCODE, f'    if (batch["load_percent"] == 42).any():\n        {line}\n{ENCODE}'


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    sys.path.insert(0, str(home))
    try:
        changed = {
            name: changed_toy(home, f"toy_shadow_{name}", on_callers_rows(line))
            for name, line in CHANGE_BY_NAME.items()
        }
        return {
            1: make_bundle(home, "tests.toy", seed=1),
            2: make_bundle(home, "tests.toy", seed=2),
            3: make_bundle(home, changed["slow"], seed=3),
            4: make_bundle(home, changed["busy"], seed=4),
            5: make_bundle(home, changed["raising"], seed=5),
            6: make_bundle(home, changed["dying"], seed=6),
        }
    finally:
        sys.path.remove(str(home))


def shadows(home):
    schema = shadow_schema(with_commit=False)
    paths = sealed(home / "segments" / "toy", "shadows")
    return [row for path in paths for row in read_segment(path, schema).to_pylist()]


async def until(is_so, *, seconds=60.0):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came so far"
        await asyncio.sleep(0.02)


def settled(served, num_rows):
    def is_settled():
        status = served.predictor.status()["shadow"]
        return status["num_waiting"] == 0 and status["num_scored"] + status["num_dropped"] >= num_rows

    return until(is_settled)


def test_a_candidate_without_traffic_is_asked_for_every_row_and_answers_nobody(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=2, share=0.0)) as served:
            together = await served.predict(*ROWS)
            alone = await served.predict(ROWS[3])
            await settled(served, 41)
        assert (together["model_version"], together["degraded"]) == (1, False)
        found = shadows(tmp_path)
        assert [row["id"] for row in found] == together["ids"] + alone["ids"]
        assert {(row["version"], row["error"]) for row in found} == {(2, None)}
        assert np.allclose([row["probability"] for row in found[:40]], expected(bundles[2], ROWS), atol=1e-6)
        assert [row["batch_rows"] for row in found] == [40] * 40 + [1]
        assert min(min(row["latency_ms"], row["answer_latency_ms"]) for row in found) > 0

    run(scenario)


def test_in_a_canary_each_row_is_put_to_the_version_that_did_not_answer_it(bundles, tmp_path):
    async def scenario():
        trial = record(bundles, candidate=2, share=0.5)
        async with serving(workload, tmp_path, trial) as served:
            answer = await served.predict(*ROWS)
            await settled(served, 40)
        arms = [arm(route_of(trial), row["reading"]) for row in ROWS]
        asked = {row["id"]: row["version"] for row in shadows(tmp_path)}
        assert [asked[i] for i in answer["ids"]] == [1 if which == "candidate" else 2 for which in arms]
        assert set(arms) == {"champion", "candidate"}

    run(scenario)


def test_without_a_trial_nothing_is_asked_and_nothing_started(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, previous=2)) as served:
            await served.predict(*ROWS)
            await asyncio.sleep(0.05)
            assert served.predictor._shadow._thread is None
        assert shadows(tmp_path) == []

    run(scenario)


BAD = {**ROW, "load_percent": 42}


async def waits_ms(served, num_rows):
    waits = []
    for _ in range(num_rows):
        started = time.perf_counter()
        answer = await served.predict(BAD)
        waits.append((time.perf_counter() - started) * 1000)
        assert (answer["model_version"], answer["degraded"]) == (1, False)
    return waits


@pytest.mark.parametrize("bad", [3, 4])
def test_a_candidate_that_takes_200_ms_slows_no_caller(bundles, tmp_path, bad):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            before = await waits_ms(served, 30)
            await served.predictor.reconfigure(record(bundles, epoch=2, candidate=bad, share=0.0))
            await served.predict(BAD)
            await settled(served, 1)  # its process is up
            during = await waits_ms(served, 30)
            assert served.predictor.status()["shadow"]["num_waiting"] > 0  # it is still at it
            await settled(served, 31)
        slow = [row["latency_ms"] for row in shadows(tmp_path)]
        assert min(slow) >= 200
        # Far less than what the candidate takes, on a machine that may be busy; benchmarks/shadow.py has the figure.
        assert np.median(during) < np.median(before) + 50

    run(scenario)


def test_a_candidate_that_raises_fails_no_caller_and_its_errors_are_logged(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=5, share=0.0)) as served:
            await waits_ms(served, 20)
            await settled(served, 20)
            assert served.predictor.status()["num_errors_by_version"] == {}
        found = shadows(tmp_path)
        assert {row["probability"] for row in found} == {None}
        assert {row["error"] for row in found} >= {"failed on these rows"}
        assert len(found) == 20

    run(scenario)


def test_a_candidate_that_ends_its_process_ends_only_that(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=6, share=0.0)) as served:
            await waits_ms(served, 5)
            await settled(served, 5)
            status = served.predictor.status()["shadow"]
        found = shadows(tmp_path)
        assert [(row["error"], row["probability"]) for row in found] == [("its process ended with exit code 3", None)]
        assert status == {"num_scored": 1, "num_waiting": 0, "num_dropped": 4}  # not started again at once

    run(scenario)


def test_a_process_that_is_killed_is_started_again(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr(shadow, "REST_S", 0.0)

    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=2, share=0.0)) as served:
            await served.predict(ROW)
            await settled(served, 1)
            os.kill(served.predictor._shadow._process.process_id, signal.SIGKILL)
            await served.predict(ROW)
            await served.predict(ROW)
            await settled(served, 3)
        assert [row["error"] for row in shadows(tmp_path)] == [None, "its process ended with exit code -9", None]

    run(scenario)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr(shadow, "MAX_WAITING_ROWS", 45)

    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=2, share=0.0)) as served:
            for _ in range(3):
                await served.predict(*ROWS)  # the first is put; while its process starts the others find no room
            await settled(served, 120)
            status = served.predictor.status()["shadow"]
        assert status == {"num_scored": 40, "num_waiting": 0, "num_dropped": 80}
        assert len(shadows(tmp_path)) == 40

    run(scenario)


def test_whoever_waits_until_no_segment_is_left_has_waited_for_the_shadows(bundles, tmp_path):
    async def scenario():
        directory = tmp_path / "segments" / "toy"
        async with serving(workload, tmp_path, record(bundles, candidate=2, share=0.0)) as served:
            answer = await served.predict(*ROWS)
            await asyncio.sleep(0)  # the caller of this process is told before the loop has its turn
            waiting = set(directory.glob("[!.]*"))
            assert any(path.name.startswith("shadows") for path in waiting)
            lake = Lake(str(tmp_path / "lake"))
            committer = SegmentCommitter(lake, "toy", directory=directory, stream="r", columns=workload.columns)
            while waiting & set(directory.glob("[!.]*")):
                await asyncio.to_thread(committer.step)
                await asyncio.sleep(0.02)
            committer.close()
            rows = lake.read("toy", "shadows", schema=shadow_schema())
        assert sorted(rows["id"].to_pylist()) == sorted(answer["ids"])

    run(scenario)


@pytest.mark.parametrize(("bad", "reason"), [(4, "ms a batch, the champion"), (5, "failed on 12 rows: ")])
def test_what_a_replica_saw_of_a_planted_model_ends_its_trial(bundles, tmp_path, bad, reason):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles, candidate=bad, share=0.0)) as served:
            await waits_ms(served, 12)
            await settled(served, 12)
        lake, directory = Lake(str(tmp_path / "lake")), tmp_path / "segments" / "toy"
        committer = SegmentCommitter(lake, "toy", directory=directory, stream="r", columns=workload.columns)
        while committer.step().sequence is not None:
            pass
        committer.close()
        at = instant(ROW["read_at"], where="")
        found = compare(lake, "toy", workload.columns, version=bad, since=at, clock=at + timedelta(days=1))
        state = LoopState(Loop(shadow_span=timedelta(hours=1)))
        state.handle(Asked(at=at, reasons=("drift",), onset_at=at, detected_at=at))
        state.handle(RunEnded(at=at, turn=1, attempt=1, candidate=bad, verdict=Promote(("better",))))
        assert state.phase == "shadow"
        times = [None if each is None else each.p75 for each in (found.own_ms, found.other_ms)]
        counts = {"num_scored": found.num_scored, "num_errors": found.num_errors, "error": found.error}
        own_ms, other_ms = times
        seen = TrialSeen(at=at, turn=1, paired=None, **counts, model_ms=own_ms, champion_model_ms=other_ms)
        withdraw, ended = state.handle(seen)
        assert (withdraw.version, ended.record.outcome) == (bad, "rolled_back")
        assert reason in ended.record.outcome_reasons[0]

    run(scenario)
