"""Windows as sketches: within their error, mergeable, as large after a million rows as after ten thousand."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.watch.measured_shapes import of_sketches
from heliostat.watch.profile import Profile
from heliostat.watch.quantiles import even_shares, reference_quantiles, wasserstein, wasserstein_floor
from heliostat.watch.sketches import NumberSketch, TextSketch, frequent, sketch_from_json
from heliostat.watch.windows import Windows

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = (Number("load", low=-1e9, high=1e9), Category("site"))
INSTANT = pa.timestamp("us", tz="UTC")


def rank_error(sketch, values):
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    return np.abs(np.searchsorted(np.sort(values), sketch.quantiles(shares)) / len(values) - shares).max()


def test_sketches_of_sixteen_replicas_merge_to_the_quantiles_of_all_rows():
    values = np.random.default_rng(1).lognormal(0, 2, 200_000)
    whole = NumberSketch()
    for part in np.array_split(values, 16):
        one = NumberSketch()
        one.add(pa.chunked_array([part]))
        whole.merge(sketch_from_json(one.to_json()))
    assert whole.shape.num_values == 200_000
    assert rank_error(whole, values) < 0.02


def test_values_that_are_missing_or_infinite_are_left_out():
    sketch = NumberSketch()
    sketch.add(pa.chunked_array([pa.array([1.0, None, float("nan"), float("inf"), 3.0])]))
    assert sketch.shape.num_values == 2
    assert sketch.shape.quantiles == (1.0, 3.0, 3.0)
    assert NumberSketch().shape.quantiles == ()


def test_texts_are_counted_apart_and_the_frequent_ones_known_in_any_parts():
    random = np.random.default_rng(2)
    values = np.concatenate([random.choice(["a", "b"], 5_000, p=[0.7, 0.3]), [f"rare {n}" for n in range(2_000)]])
    whole = TextSketch()
    for part in np.array_split(random.permutation(values), 5):
        one = TextSketch()
        one.add(pa.chunked_array([pa.array(part, pa.string())]))
        whole.merge(sketch_from_json(one.to_json()))
    assert whole.shape.distinct == pytest.approx(2_002, rel=0.05)
    (first, first_count), (second, _) = whole.frequent(2)
    assert (first, second) == ("a", "b")
    assert first_count == pytest.approx((values == "a").sum(), rel=0.05)


def rows(num_rows, *, day=0, shift=0.0, seed=3):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "load": random.normal(shift, 2.0, num_rows),
            "site": random.choice(["a", "b", "c"], num_rows),
            "event_at": pa.array([START + day * DAY] * num_rows, INSTANT),
        }
    )


@pytest.fixture(scope="module")
def profile():
    return Profile.fit(rows(20_000, seed=4), COLUMNS, np.full(20_000, 0.5))


def sketched(profile, *tables):
    windows = Windows(profile, version=1, span=DAY, has_sketches=True)
    for table in tables:
        windows.add(table, np.full(table.num_rows, 0.5))
    return windows


def test_a_window_takes_as_much_memory_after_a_hundred_times_the_rows(profile):
    small, large = (sketched(profile, *[rows(10_000)] * times) for times in (1, 100))
    sizes = [len(json.dumps(one.to_json()["sketches"])) for one in (small, large)]
    assert sizes[1] < 1.3 * sizes[0]


def test_only_the_two_newest_windows_keep_sketches_and_they_survive_a_restart(profile):
    windows = sketched(profile, *[rows(100, day=day) for day in range(5)])
    stored = json.loads(json.dumps(windows.to_json()))
    again = Windows.from_json(stored, profile=profile, span=DAY, has_sketches=True)
    assert [bool(again.sketches(START + day * DAY)) for day in range(5)] == [False, False, False, True, True]
    again.add(rows(50, day=4), np.full(50, 0.5))
    assert again.sketches(START + 4 * DAY)["load"].shape.num_values == 150
    assert dict(frequent(again.sketches(START + 4 * DAY))["site"]).keys() == {"a", "b", "c"}


def test_rows_far_ahead_of_the_clock_take_no_place_from_windows_that_fill_now(profile):
    windows = Windows(profile, version=1, span=DAY, has_sketches=True)
    for day in (0, 200, 300, 1):
        clock = START + min(day, 1) * DAY
        windows.add(rows(100, day=day), np.full(100, 0.5), clock=clock)
    assert [bool(windows.sketches(START + day * DAY)) for day in (0, 1, 200, 300)] == [True, True, False, False]
    assert [closed.num_rows for closed in windows.close(START + 400 * DAY)] == [100] * 4


def test_windows_keep_no_sketches_unless_asked_to(profile):
    windows = Windows(profile, version=1, span=DAY)
    windows.add(rows(100), np.full(100, 0.5))
    assert windows.sketches(START) == {}


def test_the_distance_from_the_reference_is_the_shift_in_its_deviations(profile):
    told = {
        (one.name, *one.label_by_name.values()): one.value
        for one in of_sketches(sketched(profile, rows(10_000, shift=1.0)).sketches(START), profile=profile)
    }
    assert told["drift_wasserstein_deviations", "load"] == pytest.approx(0.5, abs=0.05)
    assert told["column_value", "load", "0.5"] == pytest.approx(1.0, abs=0.15)
    assert told["column_distinct_values", "site"] == pytest.approx(3, abs=0.01)


def test_without_a_change_the_distance_is_the_noise_of_so_many_rows():
    random, shares = np.random.default_rng(5), even_shares(50)
    reference = reference_quantiles(random.normal(size=200_000))
    found = [wasserstein(np.quantile(random.normal(size=1_000), shares), reference, deviation=1.0) for _ in range(100)]
    assert np.mean(found) == pytest.approx(wasserstein_floor(1_000), rel=0.1)


def test_a_reference_that_does_not_vary_or_no_values_have_no_distance():
    assert wasserstein(np.ones(50), (1.0,) * 50, deviation=0.0) is None
    assert wasserstein(np.array([]), (1.0,) * 50, deviation=1.0) is None
    assert reference_quantiles(np.array([np.nan])) == ()
    assert wasserstein_floor(0) == float("inf")


def test_profiles_keep_their_quantiles_through_storage(profile):
    again = Profile.from_json(json.loads(json.dumps(profile.to_json())))
    assert again.quantiles_by_column == profile.quantiles_by_column
    assert again.design_effect_by_column == profile.design_effect_by_column
    assert again.compare(again.count(rows(100), np.full(100, 0.5))) == profile.compare(
        profile.count(rows(100), np.full(100, 0.5))
    )


def test_the_latency_of_a_windows_rows_is_told_in_quantiles_and_is_no_column(profile):
    table = rows(2_000, seed=5)
    latency_ms = np.random.default_rng(6).exponential(20.0, table.num_rows)
    sketches = sketched(profile, table.append_column("latency_ms", pa.array(latency_ms, pa.float32()))).sketches(START)
    told = {(one.name, *one.label_by_name.values()): one.value for one in of_sketches(sketches, profile=profile)}
    for quantile in ("0.5", "0.95", "0.99"):
        share = np.mean(latency_ms <= 1000 * told["window_latency_seconds", quantile])
        assert share == pytest.approx(float(quantile), abs=0.013)
    assert not [labels for name, *labels in told if name == "column_value" and "latency_ms" in labels]
