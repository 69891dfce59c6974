"""What training never held: unseen values, constants that begin to vary, serving that differs from training."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.watch.coding import CONFIDENCE
from heliostat.watch.counts import Counts
from heliostat.watch.events import Alert, ChampionChanged
from heliostat.watch.extents import MAX_KNOWN, Extent
from heliostat.watch.monitor import MonitorState
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = (Number("load", low=-1e9, high=1e9), Number("flag", low=0, high=1), Category("site"))
INSTANT = pa.timestamp("us", tz="UTC")


def rows(num_rows, seed, *, day=0, shift=0.0, flag=0.0, site="a"):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "load": random.normal(shift, 1.0, num_rows),
            "flag": np.full(num_rows, flag),
            "site": pa.array(random.choice([site, "b"], num_rows), pa.string()),
            "event_at": pa.array([START + day * DAY] * num_rows, INSTANT),
        }
    )


def told(*, days):
    """The alerts of a monitor whose champion came at START, for rows of each day."""
    reference = rows(2_000, seed=1)
    profile = Profile.fit(reference, COLUMNS, np.full(2_000, 0.5))
    windows = Windows(profile, version=1, span=DAY)
    state = MonitorState(())
    state.handle(ChampionChanged(at=START, version=1, trained_until=START))
    found = []
    for day, table in enumerate(days):
        windows.add(table, np.full(table.num_rows, 0.5))
        for closed in windows.close(START + (day + 1) * DAY):
            found += state.handle(closed)
        state = MonitorState.from_json(state.to_json(), triggers=())
    return [one for one in found if isinstance(one, Alert)], state


def test_other_rows_right_after_promotion_are_said_to_be_skew_once():
    alerts, state = told(days=[rows(500, seed=2, day=day, shift=1.5) for day in range(3)])
    assert [one.evidence["notice"] for one in alerts] == ["skew"]
    assert "load" in alerts[0].reason
    assert state.first_window.since == START


def test_the_same_rows_in_serving_as_in_training_are_no_skew_and_later_change_is_none_either():
    alerts, state = told(days=[rows(500, seed=3), rows(500, seed=4, day=1, shift=1.5)])
    assert alerts == []
    assert state.first_window.drift_by_column["load"].effect < 0.05


def test_a_constant_that_begins_to_vary_is_said_once():
    alerts, _ = told(days=[rows(500, seed=5), rows(500, seed=6, day=1, flag=1.0), rows(500, seed=7, day=2, flag=1.0)])
    assert [(one.evidence["notice"], one.evidence["column"]) for one in alerts] == [("began_to_vary", "flag")]


def test_a_window_says_how_much_is_missing_and_how_much_training_never_held():
    profile = Profile.fit(rows(1_000, seed=8), COLUMNS, np.full(1_000, 0.5))
    table = rows(100, seed=9).set_column(2, "site", pa.array(["c"] * 30 + [None] * 20 + ["a"] * 50, pa.string()))
    found = profile.compare(profile.count(table, np.full(100, 0.5)))
    assert (found["site"].unseen, found["site"].missing) == (0.3, 0.2)
    assert not found["site"].began_to_vary  # it held two values before
    assert found["load"].missing == 0.0


def test_cells_that_no_caller_said_are_not_unseen():
    profile = Profile.fit(rows(1_000, seed=8), COLUMNS, np.full(1_000, 0.5))
    unsent = {"flag": np.arange(100) < 60}
    found = profile.compare(profile.count(rows(100, seed=9, flag=1.0), np.full(100, 0.5), unsent=unsent))
    assert found["flag"].unseen == 1.0
    counted = profile.count(rows(100, seed=9, flag=1.0), np.full(100, 0.5), unsent=unsent)
    assert counted.unseen_by_column["flag"] == 40
    assert Counts.from_json(counted.to_json()) == counted


@pytest.mark.parametrize("column", [pa.array([1.0, None, 2.0, float("nan"), 9.0]), pa.array([1, None, 2, 2, 9])])
def test_a_number_outside_the_range_of_training_is_unseen_and_a_missing_one_is_not(column):
    extent = Extent.fit("x", pa.chunked_array([pa.array([1.0, 2.0, None])]))
    assert extent.unseen(pa.chunked_array([column])).tolist() == [False, False, False, False, True]
    assert Extent.from_json(extent.to_json()) == extent


def test_texts_of_very_many_values_and_columns_without_any_are_not_judged():
    many = pa.chunked_array([pa.array([f"v{number}" for number in range(MAX_KNOWN + 1)])])
    empty = pa.chunked_array([pa.nulls(5, pa.float64())])
    for extent in (Extent.fit("x", many), Extent.fit("x", empty)):
        assert not extent.unseen(pa.chunked_array([pa.array(["new"])] if extent.known else [pa.array([7.0])])).any()
        assert not extent.is_constant


def test_confidence_is_watched_beside_the_answers():
    table = rows(2_000, seed=10)
    profile = Profile.fit(table, COLUMNS, np.random.default_rng(0).beta(2, 2, 2_000))
    surer = np.random.default_rng(1).choice([0.05, 0.95], 500)
    found = profile.compare(profile.count(rows(500, seed=11), surer))
    assert found[CONFIDENCE].effect > 0.25
