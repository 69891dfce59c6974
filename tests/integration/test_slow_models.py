"""A model that takes long answers beside the event loop, which stays free for all else; a quick one on it."""

import threading
import time
from dataclasses import replace

import pytest

from heliostat.settings import Settings
from serve_apps.config import PredictorConfig
from serve_apps.engine.admission import Admission
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload


@pytest.mark.parametrize(("takes_s", "answers_in"), [(0.0, {"MainThread"}), (0.03, {"batch_0"})])
def test_a_batch_runs_on_the_event_loop_only_where_that_is_short(tmp_path, takes_s, answers_in):
    async def scenario():
        async with serving(workload, tmp_path, record({1: make_bundle(tmp_path, "tests.toy", seed=1)})) as served:
            version = served.predictor.live.version_by_number[1]
            threads = []

            class Model:
                """The version's model, as slow as is asked."""

                def __getattr__(self, name):
                    return getattr(version.model, name)

                def answers(self, table):
                    threads.append(threading.current_thread().name)
                    time.sleep(takes_s)
                    return version.model.answers(table)

            held = {1: replace(version, model=Model())}
            served.predictor.live = replace(served.predictor.live, version_by_number=held)
            for _ in range(8):
                await served.predict(ROW)
        assert set(threads[4:]) == answers_in

    run(scenario)


def admission(tmp_path):
    return Admission(PredictorConfig.of(workload, Settings(home=tmp_path), {}))


def after(books, *, num_rows, takes_s):
    now_s = time.perf_counter()
    books.answered(num_requests=1, num_rows=num_rows, first_s=now_s - takes_s, started_s=now_s - takes_s)


def test_one_slow_batch_among_many_quick_ones_moves_nothing_off_the_event_loop(tmp_path):
    books = admission(tmp_path)
    for takes_s in [0.001] * 30 + [0.05] + [0.001] * 3:
        after(books, num_rows=1, takes_s=takes_s)
    assert books.rows_inline == 512


def test_rows_that_take_long_bound_a_batch_on_the_event_loop(tmp_path):
    books = admission(tmp_path)
    for num_rows in (1, 20, 40, 1, 30):
        after(books, num_rows=num_rows, takes_s=0.001 + num_rows * 0.0005)
    assert 10 <= books.rows_inline <= 25
    assert books.rows_per_batch > books.rows_inline


def test_the_load_is_told_once(tmp_path):
    books = admission(tmp_path)
    after(books, num_rows=3, takes_s=0.2)
    told = books.take_load()
    assert told["num_answered"] == 1
    assert told["slowest_ms"] >= 200
    assert set(books.take_load().values()) == {0.0}
