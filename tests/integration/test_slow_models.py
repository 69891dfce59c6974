"""A model that takes long answers beside the event loop, which stays free for all else; a quick one on it."""

import threading
import time
from dataclasses import replace

import pytest

from heliostat.settings import Settings
from serve_apps.config import PredictorConfig
from serve_apps.engine import admission as engine_admission
from serve_apps.engine.admission import LONGEST_INLINE_S, Admission
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload


# A limit that no quick batch reaches, however busy the machine is; the slow one sleeps for longer than the real limit.
@pytest.mark.parametrize(
    ("takes_s", "longest_s", "answers_in"), [(0.0, 60.0, {"MainThread"}), (0.03, LONGEST_INLINE_S, {"batch_0"})]
)
def test_a_batch_runs_on_the_event_loop_only_where_that_is_short(tmp_path, monkeypatch, takes_s, longest_s, answers_in):
    monkeypatch.setattr(engine_admission, "LONGEST_INLINE_S", longest_s)

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


def admission(tmp_path, **options):
    return Admission(PredictorConfig.of(workload, Settings(home=tmp_path), options))


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


def test_the_fixed_part_of_a_batch_counts_on_the_event_loop_too(tmp_path):
    books = admission(tmp_path)
    for num_rows in (1, 20, 40, 1, 30):
        after(books, num_rows=num_rows, takes_s=0.007 + num_rows * 0.0001)
    assert 0 <= books.rows_inline <= 30


def test_where_nothing_may_run_on_the_event_loop_nothing_does(tmp_path):
    books = admission(tmp_path, max_rows_inline=0)
    for num_rows in (1, 20, 40, 1, 30):
        after(books, num_rows=num_rows, takes_s=num_rows * 0.0001)
    assert books.rows_inline == 0


def test_the_load_is_told_once(tmp_path):
    books = admission(tmp_path)
    after(books, num_rows=3, takes_s=0.2)
    told = books.take_load()
    assert told["num_answered"] == 1
    assert told["slowest_ms"] >= 200
    assert set(books.take_load().values()) == {0.0}
