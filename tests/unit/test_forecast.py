"""The forecasting block: rows of a series, and a network that forecasts large and small series alike."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Number, Quantity, Text, Vector
from heliostat.check import check
from heliostat.errors import WorkloadError
from heliostat.intake import take
from heliostat.learn import bundle
from heliostat.learn.fit import fit
from heliostat.learn.forecast import ForecastNetwork, forecast_network
from heliostat.learn.forecast_rows import forecast_rows
from heliostat.learn.prepare import Learned
from heliostat.learn.rows import split_by_time
from heliostat.vectors import to_matrix
from heliostat.watch.profile import Profile
from tests.toy_series import DAY, LENGTH, MONTHS, SHOPS, workload

LATER = datetime(2200, 1, 1, tzinfo=UTC)
LABEL = Quantity("value")


def rows_of(*months):
    table = pa.concat_tables([workload.source.read(month) for month in months])
    return take(workload, table, since=None, until=LATER).good


def made(values, *, length=3, steps=(1, 2), every=1, missing=()):
    at = np.datetime64("2024-01-01T22:00", "us") + np.arange(len(values)) * np.timedelta64(1, "h")
    kept = [place for place in range(len(values)) if place not in missing]
    return forecast_rows(
        pa.chunked_array([at[kept]]),
        pa.chunked_array([np.array(values, np.float64)[kept]]),
        series="s",
        spacing=timedelta(hours=1),
        length=length,
        steps=steps,
        every=every,
    )


def test_a_row_holds_the_window_up_to_when_it_is_made_and_what_came_later():
    rows = made([1, 2, 3, 4, 5]).to_pylist()
    assert [(row["window"], row["steps"], row["value"]) for row in rows] == [
        ([1, 2, 3], 1, 4),
        ([1, 2, 3], 2, 5),
        ([2, 3, 4], 1, 5),
    ]
    first = rows[0]
    assert first["made_at"] == datetime(2024, 1, 2, 0, tzinfo=UTC)
    assert first["target_at"] == first["known_at"] == datetime(2024, 1, 2, 1, tzinfo=UTC)
    assert (first["minute_of_day"], first["weekday"], first["day_of_year"]) == (60, 1, 2)
    assert len({row["forecast"] for row in rows}) == 3


def test_what_is_not_known_is_the_last_known_in_windows_and_no_label():
    rows = made([1, 2, 3, 4, 5], missing=(2,), length=2, steps=(1,)).to_pylist()
    assert [(row["window"], row["value"]) for row in rows] == [([1, 2], None), ([2, 2], 4), ([2, 4], 5)]
    assert rows[0]["known_at"] is None
    assert rows[0]["target_at"] is not None


def test_no_window_holds_a_value_that_comes_later():
    rows = made([np.nan, np.nan, np.nan, 7, 8, 9], length=2).to_pylist()
    assert [(row["window"], row["steps"], row["value"]) for row in rows] == [
        ([7, 7], 1, 8),
        ([7, 7], 2, 9),
        ([7, 8], 1, 9),
    ]


@pytest.mark.parametrize("num_values", [1, 3])
def test_a_new_series_has_no_rows_yet_and_the_columns_of_all(num_values):
    fresh = made(range(num_values))
    assert fresh.num_rows == 0
    assert fresh.schema == made(range(5)).schema


def test_forecasts_are_made_at_every_so_many_places():
    assert made(range(11), every=4, steps=(1,))["window"].to_pylist() == [[0, 1, 2], [4, 5, 6]]


@pytest.mark.parametrize("twice", [[0, 1, 1], [0, 1.5, 2]])
def test_instants_off_the_grid_are_refused(twice):
    at = np.datetime64("2024-01-01", "us") + (np.array(twice) * 3600e6).astype("m8[us]")
    given = {"spacing": timedelta(hours=1), "length": 1, "steps": [1]}
    with pytest.raises(WorkloadError, match="whole steps"):
        forecast_rows(pa.chunked_array([at]), pa.chunked_array([np.ones(3)]), series="s", **given)


def test_a_series_of_no_length_or_no_value_is_refused():
    with pytest.raises(WorkloadError, match="at least 1"):
        made([1, 2, 3], steps=())
    with pytest.raises(WorkloadError, match="without any known value"):
        made([np.nan] * 5)


def test_a_season_before_is_the_newest_value_whole_seasons_before_what_is_forecast():
    network = ForecastNetwork(
        Learned({}, []), Vector("window", 6), [], LABEL, horizon=5, seasons=(2, 3, 6), num_members=2
    )
    shape, steps = torch.arange(6.0).repeat(5, 1), torch.arange(1, 6)
    found = torch.cat(network._a_season_before(shape, steps), dim=1)
    # Position 5 is now, so step s lies at 5 + s.
    assert found.tolist() == [[4, 3, 0], [5, 4, 1], [4, 5, 2], [5, 3, 3], [4, 4, 4]]


@pytest.fixture(scope="module")
def fitted():
    return fit(workload, *split_by_time(rows_of(*MONTHS[:2]), share=0.2), seed=1)


def test_the_network_beats_the_same_hour_a_day_before_on_a_large_and_on_a_small_series(fitted):
    check(workload)
    later = rows_of(MONTHS[2])
    answers, labels = bundle.served(workload, fitted).answers(later), later["label"].to_numpy()
    window, steps = to_matrix(later["window"], length=LENGTH), later["steps"].to_numpy().astype(int)
    day_before = window[np.arange(len(window)), LENGTH - 1 + steps - DAY]
    for shop in SHOPS:
        own = np.array(later["shop"].to_pylist()) == shop
        error, naive = (np.abs(labels - said)[own].mean() for said in (answers[:, 0], day_before))
        assert error < 0.9 * naive
    assert 0.8 < ((answers[:, 1] <= labels) & (labels <= answers[:, 2])).mean() < 0.98


def test_a_bundle_answers_the_same_to_the_last_bit_and_what_it_answers_is_watched(fitted):
    rows = rows_of(MONTHS[2])
    again = bundle.ServedModel.load(bundle.to_files("tests.toy_series", fitted, profile={}, lineage={}))
    again.warm()
    answers = again.answers(rows)
    assert np.array_equal(answers, bundle.served(workload, fitted).answers(rows))
    task = workload.task
    profile = Profile.fit(rows, workload.columns, answers, task=task)
    grown = rows.set_column(
        rows.schema.get_field_index("minute_of_day"), "minute_of_day", pa.array(np.zeros(rows.num_rows))
    )
    drift = profile.compare(profile.count(grown, task.output(answers)))
    assert drift["minute_of_day"].psi > 1
    assert drift["steps"].psi == 0.0
    vectors = [name for name in drift if name.startswith("window")]
    assert vectors
    assert all(drift[name].psi < 0.1 for name in vectors)
    assert drift[task.output_name].psi == 0.0


def test_a_series_that_has_grown_tenfold_is_forecast_tenfold():
    made = ForecastNetwork(
        Learned({}, []), Vector("window", 48), [], LABEL, horizon=3, seasons=(24,), num_members=2
    ).eval()
    window = 100 + 50 * torch.sin(torch.arange(48.0) / 24 * 2 * torch.pi).repeat(4, 1)
    encoded = {"numbers": torch.zeros(4, 0), "categories": torch.zeros(4, 0, dtype=torch.int64)}
    asked = {**encoded, "steps": torch.tensor([1, 2, 3, 1])}
    made.rest.norms["of_shape"].weight.data[-2:] = (
        0  # level and spread themselves are told too; the rest is in their units
    )
    one, ten = (made({**asked, "window": times * window}) for times in (1.0, 10.0))
    assert torch.allclose(10 * one, ten, rtol=1e-3)


@pytest.mark.parametrize(
    ("others", "horizon", "seasons"),
    [
        ([Number("hour", 0, 23)], 3, ()),
        ([Number("steps", 1, 3), Text("note")], 3, ()),
        ([Number("steps", 1, 3)], 0, ()),
        ([Number("steps", 1, 3)], 3, (25,)),
    ],
)
def test_what_cannot_be_forecast_is_refused_where_it_is_declared(others, horizon, seasons):
    with pytest.raises(WorkloadError, match="A forecast of 'window'"):
        forecast_network(Vector("window", 24), others, LABEL, horizon=horizon, seasons=seasons)


def test_a_window_that_stands_still_gives_a_finite_forecast(fitted):
    rows = rows_of(MONTHS[2]).slice(0, 3)
    still = pa.array([[5.0] * LENGTH] * 3, pa.list_(pa.float32()))
    table = rows.set_column(rows.schema.get_field_index("window"), "window", still)
    assert np.isfinite(bundle.served(replace(workload), fitted).answers(table)).all()
