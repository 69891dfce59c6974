"""Answers that are given again."""

import threading
import tracemalloc
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.declared.cache import Cache
from heliostat.errors import ContractError, WorkloadError
from heliostat.serving.answer_cache import ENTRY_BYTES, AnswerCache


class Model:
    """Gives another number at every call, so that an answer given again is told from a new one."""

    def __init__(self):
        self.asked = []

    def __call__(self, table):
        self.asked.append(table["x"].to_pylist())
        return np.array([value + len(self.asked) / 1000 for value in self.asked[-1]])


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def rows(*values, site="a"):
    return pa.table({"x": pa.array(values, pa.float64()), "site": [site] * len(values)})


def cache(clock=None, **given):
    return AnswerCache(Cache(**given), clock or Clock())


def test_only_rows_that_are_new_are_asked_for_and_the_others_get_the_very_same_answer():
    kept, model = cache(), Model()
    first = kept.answers("1", rows(0.1, 0.2), ask=model)
    second = kept.answers("1", rows(0.3, 0.2, 0.1), ask=model)
    assert model.asked == [[0.1, 0.2], [0.3]]
    assert second[[2, 1]].tobytes() == first.tobytes()
    assert (kept.num_rows, kept.num_hits, kept.status()["hit_ratio"]) == (5, 2, 0.4)


def test_another_version_another_column_or_another_last_bit_is_another_row():
    kept, model = cache(), Model()
    for version, table in (
        ("1", rows(0.1)),
        ("2", rows(0.1)),
        ("1", rows(0.1, site="b")),
        ("1", rows(np.nextafter(0.1, 1))),
        ("1", pa.table({"x": pa.array([0.1]), "site": pa.nulls(1, pa.string())})),
    ):
        kept.answers(version, table, ask=model)
    assert (len(model.asked), kept.num_hits) == (5, 0)


def test_an_answer_is_forgotten_when_its_time_is_over():
    clock, model = Clock(), Model()
    kept = cache(clock, ttl=timedelta(seconds=60))
    for clock.now_s in (0.0, 59.0, 61.0):
        kept.answers("1", rows(0.1), ask=model)
    assert len(model.asked) == 2


def test_memory_stays_below_what_was_declared_and_what_was_used_last_stays():
    kept, model = cache(max_bytes=1_000_000), Model()
    tracemalloc.start()
    try:
        for start in range(0, 6 * kept.max_entries, 1000):
            kept.answers("1", rows(*range(start, start + 1000)), ask=lambda table: np.full(table.num_rows, 0.5))
            assert tracemalloc.get_traced_memory()[0] < 1_000_000 + 500_000  # the rows themselves are in it, too
    finally:
        tracemalloc.stop()
    assert kept.status()["num_entries"] == kept.max_entries == 1_000_000 // ENTRY_BYTES
    kept.answers("1", rows(start + 999, 0), ask=model)
    assert model.asked == [[0]]


def test_what_is_not_finite_is_given_back_and_not_kept():
    kept = cache()
    for _ in range(2):
        assert np.isnan(kept.answers("1", rows(0.1), ask=lambda _: np.array([np.nan])))
    assert (kept.num_hits, kept.status()["num_entries"]) == (0, 0)


def test_a_model_that_gives_too_many_answers_is_refused():
    kept = cache()
    kept.answers("1", rows(0.1), ask=Model())
    with pytest.raises(ContractError, match="1 rows need one"):
        kept.answers("1", rows(0.1, 0.2), ask=lambda _: np.zeros(2))


@pytest.mark.parametrize("wrong", [{"max_bytes": 1000}, {"ttl": timedelta(0)}])
def test_a_cache_that_could_keep_nothing_is_refused(wrong):
    with pytest.raises(WorkloadError):
        Cache(**wrong)


def test_answers_of_many_classes_count_as_what_they_take():
    num_classes, max_bytes = 200, 1_000_000
    kept = AnswerCache(Cache(max_bytes=max_bytes), Clock(), shape=(num_classes,))
    generator = np.random.default_rng(0)
    tracemalloc.start()
    try:
        for start in range(0, 4 * kept.max_entries, 50):
            kept.answers("1", rows(*range(start, start + 50)), ask=lambda _: generator.random((50, num_classes)))
            assert tracemalloc.get_traced_memory()[0] < max_bytes + 500_000
    finally:
        tracemalloc.stop()
    assert kept.status()["num_entries"] == kept.max_entries


def test_a_status_that_is_asked_for_while_answers_are_kept_waits_for_that():
    waited = []

    def clock():
        # What is kept asks for the time in the middle of its work.
        if threading.current_thread() is threading.main_thread():
            looking = threading.Thread(target=kept.status, daemon=True)
            looking.start()
            looking.join(0.05)
            waited.append(looking.is_alive())
        return 0.0

    kept = cache(clock, max_bytes=1_000_000)
    kept.answers("1/a", rows(1.0, 2.0), ask=Model())
    assert waited
    assert all(waited)
