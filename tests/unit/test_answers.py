import numpy as np
import pyarrow as pa

from heliostat.watch.answers import LATENCY_EDGES_MS, NUM_KEPT, Answers, count


def rows(latency_ms, *, version=1, degraded=False):
    number = len(latency_ms)
    return pa.table(
        {
            "version": pa.array([version] * number, pa.int32()),
            "degraded": [degraded] * number,
            "latency_ms": pa.array(latency_ms, pa.float32()),
        }
    )


def test_each_row_is_in_the_first_bucket_whose_edge_it_does_not_pass():
    answers = Answers.of(rows([0.1, 0.25, 0.26, 1e6]))
    assert answers.num_by_latency[:2] == (2, 1)
    assert answers.num_by_latency[-1] == 1
    assert sum(answers.num_by_latency) == answers.num_rows == 4


def test_counts_add_up_the_same_in_any_grouping():
    latency_ms = np.random.default_rng(0).exponential(5, 300).tolist()
    whole = Answers.of(rows(latency_ms))
    parts = Answers.of(rows(latency_ms[:100])) + Answers.of(rows(latency_ms[100:]))
    assert parts.num_by_latency == whole.num_by_latency
    assert np.isclose(parts.latency_sum_ms, whole.latency_sum_ms)


def test_versions_are_counted_apart_and_only_the_newest_are_kept():
    counted = {}
    for version in range(1, NUM_KEPT + 3):
        counted = count(rows([1.0] * version, version=version, degraded=version % 2 == 0), before=counted)
    assert list(counted) == list(range(3, NUM_KEPT + 3))
    assert counted[4].num_degraded == counted[4].num_rows == 4
    assert counted[5].num_degraded == 0


def test_counts_survive_json():
    answers = Answers.of(rows([1, 2, 1e5]))
    assert Answers.from_json(answers.to_json()) == answers


def test_the_edges_rise():
    assert list(LATENCY_EDGES_MS) == sorted(set(LATENCY_EDGES_MS))


def test_a_row_without_a_latency_is_counted_and_is_in_no_bucket():
    answers = Answers.of(rows([None, 1.0]))
    assert (answers.num_rows, sum(answers.num_by_latency), answers.latency_sum_ms) == (2, 1, 1.0)
