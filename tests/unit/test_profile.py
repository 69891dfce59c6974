"""Profiles: counts that add exactly, drift that is told from noise."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Category, Number
from heliostat.errors import ContractError
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.counts import Counts
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows, window_start

COLUMNS = (Number("load", low=-100, high=100, optional=True), Category("site", optional=True))
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(num_rows: int, *, seed: int, shift: float = 0.0, days: int = 1) -> tuple[pa.Table, np.ndarray]:
    random = np.random.default_rng(seed)
    seconds = np.sort(random.integers(0, days * 86_400, num_rows))
    table = pa.table(
        {
            "event_at": pa.array([START + timedelta(seconds=int(s)) for s in seconds], pa.timestamp("us", tz="UTC")),
            "load": pa.array(random.normal(shift, 1, num_rows), mask=random.random(num_rows) < 0.1),
            "site": pa.array(random.choice(["a", "b", "c", None], num_rows), pa.string()),
        }
    )
    return table, random.random(num_rows)


def profile(num_rows: int = 5000) -> Profile:
    table, probabilities = rows(num_rows, seed=1)
    return Profile.fit(table, COLUMNS, probabilities)


def numbers(*values: float | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.float64())])


def texts(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


def test_a_value_on_a_cut_belongs_to_the_bin_below_it():
    bins = NumberBins(name="load", cuts=(1.0, 2.0))
    assert bins.codes(numbers(0.0, 1.0, 1.5, 2.0, 2.5)).tolist() == [0, 0, 1, 1, 2]


def test_missing_infinite_and_not_a_number_have_their_place():
    bins = NumberBins(name="load", cuts=(1.0, 2.0))
    assert bins.codes(numbers(None, math.nan, math.inf, -math.inf)).tolist() == [3, 3, 2, 0]


def test_reference_bins_hold_about_a_tenth_each():
    reference = profile().reference.by_column["load"][:-1]
    assert len(reference) == 10
    assert max(reference) - min(reference) <= 1


def test_a_constant_column_has_bins_below_and_above_it():
    bins = NumberBins.fit("load", numbers(3.0, 3.0, 3.0))
    assert bins.codes(numbers(2.9, 3.0, 3.1)).tolist() == [0, 1, 2]


def test_a_column_without_any_value_still_counts():
    bins = NumberBins.fit("load", numbers(None, None))
    assert bins.codes(numbers(None, 5.0)).tolist() == [1, 0]
    names = CategoryBins.fit("site", texts(None))
    assert names.codes(texts(None, "a")).tolist() == [1, 0]


def test_rare_and_new_values_share_a_bin_and_missing_has_its_own():
    frequent = [f"s{place}" for place in range(9)]
    bins = CategoryBins.fit("site", texts(*(frequent * 2), "rare", None))
    assert bins.levels == tuple(frequent)
    assert bins.codes(texts("s0", "rare", "new", None)).tolist() == [0, 9, 9, 10]


def test_equally_frequent_levels_do_not_depend_on_the_order_of_rows():
    names = [f"s{place:02d}" for place in range(20)]
    assert CategoryBins.fit("x", texts(*names)) == CategoryBins.fit("x", texts(*reversed(names)))


@pytest.mark.parametrize("seed", range(20))
def test_counts_of_any_parts_in_any_order_add_up_to_the_counts_of_the_whole(seed):
    reference = profile()
    table, probabilities = rows(3000, seed=100 + seed)
    random = np.random.default_rng(seed)
    place = random.permutation(3000)
    parts = np.split(place, np.sort(random.integers(0, 3000, 7)))
    total = reference.empty
    for part in parts:
        total += reference.count(table.take(pa.array(part)), probabilities[part])
    assert total == reference.count(table, probabilities)
    assert total.num_rows == 3000
    assert all(sum(counts) == 3000 for counts in total.by_column.values())


def test_counts_of_different_profiles_refuse_to_be_added_or_compared():
    table, probabilities = rows(5000, seed=2)
    first, other = profile(), Profile.fit(table, COLUMNS, probabilities)
    with pytest.raises(ContractError, match="different bins"):
        first.reference + other.reference
    with pytest.raises(ContractError, match="cannot be compared"):
        first.compare(other.reference)


def test_a_profile_counts_the_same_after_a_round_trip_through_json():
    first = profile()
    again = Profile.from_json(json.loads(json.dumps(first.to_json())))
    assert again == first
    table, probabilities = rows(1000, seed=3)
    assert again.count(table, probabilities) == first.count(table, probabilities)
    assert Counts.from_json(json.loads(json.dumps(first.reference.to_json()))) == first.reference


def test_rows_without_a_column_or_an_answer_are_refused():
    table, probabilities = rows(10, seed=3)
    with pytest.raises(ContractError, match="lack 'site'"):
        profile().count(table.drop_columns(["site"]), probabilities)
    with pytest.raises(ContractError, match="as many answers"):
        profile().count(table, probabilities[:5])


def test_no_rows_show_no_drift():
    reference = profile()
    table, probabilities = rows(0, seed=3)
    found = reference.compare(reference.count(table, probabilities))
    assert {one.effect for one in found.values()} == {0.0}


def test_a_shifted_column_drifts_and_the_others_do_not():
    reference = profile()
    found = reference.compare(reference.count(*rows(1000, seed=4, shift=1.0)))
    assert found["load"].effect > 0.5
    assert found["site"].effect < 0.02
    assert found["probability"].effect < 0.02


def day_weather(num_days: int, *, seed: int, shift: float = 0.0) -> tuple[pa.Table, np.ndarray]:
    """200 rows a day that share the weather of their day."""
    random = np.random.default_rng(seed)
    load = np.repeat(random.normal(shift, 1, num_days), 200) + random.normal(0, 0.1, num_days * 200)
    at = [START + day * DAY + timedelta(minutes=minute) for day in range(num_days) for minute in range(200)]
    table = pa.table({"event_at": pa.array(at, pa.timestamp("us", tz="UTC")), "load": load, "site": ["a"] * len(at)})
    return table, random.random(len(at))


def test_a_day_of_one_weather_is_drift_only_for_a_profile_that_knows_no_windows():
    table, probabilities = day_weather(60, seed=5)
    blind = Profile.fit(table, COLUMNS, probabilities)
    aware = Profile.fit(table, COLUMNS, probabilities, window=DAY)
    ordinary = [day_weather(1, seed=seed) for seed in range(40)]
    alarms = {
        name: sum(one.compare(one.count(*day))["load"].effect > 0.25 for day in ordinary)
        for name, one in {"blind": blind, "aware": aware}.items()
    }
    assert alarms["blind"] == 40
    assert alarms["aware"] <= 6


def test_an_extreme_week_is_drift_for_a_profile_that_knows_windows_of_days():
    table, probabilities = day_weather(60, seed=5)
    aware = Profile.fit(table, COLUMNS, probabilities, window=DAY)
    assert aware.compare(aware.count(*day_weather(7, seed=6, shift=4.0)))["load"].effect > 0.25


def test_windows_start_where_they_always_start():
    assert window_start(datetime(2024, 5, 3, 17, 5, tzinfo=UTC), DAY) == datetime(2024, 5, 3, tzinfo=UTC)
    assert window_start(START, DAY) == START


def closed(order: list[int], *, num_calls: int) -> list[object]:
    table, probabilities = rows(2000, seed=7, days=3)
    windows = Windows(profile(), version=1, span=DAY)
    for part in np.array_split(np.array(order), num_calls):
        windows.add(table.take(pa.array(part)), probabilities[part])
    return list(windows.close(START + 3 * DAY))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_and_calls_inside_windows_changes_nothing(seed):
    shuffled = np.random.default_rng(seed).permutation(2000).tolist()
    assert closed(shuffled, num_calls=9) == closed(list(range(2000)), num_calls=1)


def test_a_window_closes_only_when_it_has_ended():
    windows = Windows(profile(), version=1, span=DAY)
    windows.add(*rows(500, seed=8, days=2))
    assert windows.close(START + DAY - timedelta(microseconds=1)) == []
    assert [one.since for one in windows.close(START + DAY)] == [START]
    assert [one.since for one in windows.close(START + 2 * DAY)] == [START + DAY]
    assert windows.close(START + 5 * DAY) == []


def test_a_late_row_closes_its_window_again_with_all_its_rows():
    windows = Windows(profile(), version=1, span=DAY)
    windows.add(*rows(500, seed=8))
    windows.close(START + DAY)
    windows.add(*rows(20, seed=9))
    [again] = windows.close(START + 2 * DAY)
    assert (again.since, again.num_rows) == (START, 520)


def test_a_row_of_the_last_day_of_all_dates_leaves_other_windows_alone():
    windows = Windows(profile(), version=1, span=DAY)
    windows.add(*rows(500, seed=8))
    table, probabilities = rows(20, seed=9)
    never = pa.array([datetime(9999, 12, 31, 23, tzinfo=UTC)] * 20, table["event_at"].type)
    windows.add(table.set_column(table.column_names.index("event_at"), "event_at", never), probabilities)
    assert [one.num_rows for one in windows.close(START + DAY)] == [500]
    assert windows.close(START + 50 * DAY) == []


def test_a_row_later_than_any_kept_window_is_counted_as_too_late():
    windows = Windows(profile(), version=1, span=DAY)
    windows.close(START + 100 * DAY)
    windows.add(*rows(20, seed=9))
    assert windows.num_too_late == 20
    assert windows.close(START + 100 * DAY) == []


def test_windows_go_on_after_a_restart():
    first = Windows(profile(), version=1, span=DAY)
    first.add(*rows(500, seed=8))
    again = Windows.from_json(json.loads(json.dumps(first.to_json())), profile=profile(), span=DAY)
    for windows in (first, again):
        windows.add(*rows(300, seed=10))
    assert again.close(START + DAY) == first.close(START + DAY)
    assert again.to_json() == first.to_json()


def test_of_rows_drawn_from_more_what_was_seen_is_that_of_all():
    table, probabilities = rows(5000, seed=1)
    drawn = np.arange(0, 5000, 50)
    some = table.take(pa.array(drawn))
    whole = Profile.fit(table, COLUMNS, probabilities)
    found = Profile.fit(some, COLUMNS, probabilities[drawn], whole=table)
    assert found.reference.num_rows == 100
    assert (found.extents, found.quantiles_by_column) == (whole.extents, whole.quantiles_by_column)
    assert found.deviation_by_column == whole.deviation_by_column
    assert Profile.fit(some, COLUMNS, probabilities[drawn]).extents != whole.extents
    furthest = table.slice(int(np.nanargmax(table["load"].to_numpy())), 1)
    assert found.count(furthest, probabilities[:1]).unseen_by_column["load"] == 0
