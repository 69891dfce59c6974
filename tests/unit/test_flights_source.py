"""The flights as they were known at scheduled departure."""

import pickle
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workloads.flights_source import Flights, build_rows, to_utc

ZONES = {"IAH": "America/Chicago", "LAX": "America/Los_Angeles", "SJU": "America/Puerto_Rico"}
OUTCOME = {"late", "label_known_at"}
STATION = {"temp": 60.0, "dewp": 50.0, "humid": 70.0, "wind_dir": 90.0, "wind_gust": None, "pressure": 1000.0}


def _flights(*rows: dict) -> pa.Table:
    flight = {"year": 2013, "month": 6, "day": 3, "carrier": "UA", "flight": 1, "origin": "EWR", "dest": "IAH"}
    schedule = {"sched_dep_time": 1015, "sched_arr_time": 1245, "distance": 1400}
    outcome = {"dep_time": 1020.0, "dep_delay": 5.0, "arr_time": 1250.0, "arr_delay": 5.0, "air_time": 180.0}
    return pa.Table.from_pylist([{**flight, **schedule, **outcome, **row} for row in rows])


def _weather(*rows: dict) -> pa.Table:
    usual = {**STATION, "origin": "EWR", "wind_speed": 10.0, "precip": 0.0, "visib": 10.0}
    table = pa.Table.from_pylist([{**usual, **row} for row in rows])
    return table.set_column(table.column_names.index("wind_gust"), "wind_gust", table["wind_gust"].cast(pa.float64()))


def _hour(hour: int) -> datetime:
    return datetime(2013, 6, 3, hour, tzinfo=UTC)


def _rows(flights: pa.Table, weather: pa.Table) -> list[dict]:
    return build_rows(flights, weather=weather, zone_by_airport=ZONES).to_pylist()


WEATHER = _weather(*({"time_hour": _hour(hour), "temp": 60.0 + hour} for hour in range(8, 18)))


def test_times_become_instants_of_their_own_zones():
    (row,) = _rows(_flights({}), WEATHER)
    assert row["scheduled_departure_at"] == datetime(2013, 6, 3, 14, 15, tzinfo=UTC)
    assert row["due_at"] == datetime(2013, 6, 3, 23, 45, tzinfo=UTC)  # 12:45 in Houston and six hours
    assert row["scheduled_minutes"] == 210
    assert row["flight"] == "UA1-EWR-2013-06-03T14:15Z"


def test_an_arrival_before_departure_is_on_the_next_day():
    (row,) = _rows(_flights({"sched_dep_time": 2330, "sched_arr_time": 330, "dest": "SJU"}), WEATHER)
    assert row["scheduled_minutes"] == 240


def test_a_label_is_known_when_the_flight_lands_and_late_means_more_than_15_minutes():
    late, punctual, cancelled = _rows(
        _flights({"arr_delay": 16.0}, {"arr_delay": 15.0}, {"arr_delay": None, "dep_time": None}), WEATHER
    )
    assert late["late"] == 1
    assert late["label_known_at"] == datetime(2013, 6, 3, 18, 1, tzinfo=UTC)
    assert punctual["late"] == 0
    assert cancelled["late"] is None
    assert cancelled["label_known_at"] is None


def test_an_hour_that_is_not_over_is_not_known_yet():
    # Departure is at 14:15 UTC: the report of 14:51 stands in the row of hour 14.
    (row,) = _rows(_flights({}), WEATHER)
    assert row["temp_f"] == 60.0 + 13


def test_nothing_that_happens_after_scheduled_departure_reaches_an_input():
    planted_outcome = {"dep_time": 2359.0, "dep_delay": 900.0, "arr_time": 1.0, "arr_delay": 900.0, "air_time": None}
    planted_weather = _weather(
        *({"time_hour": _hour(hour), "temp": 60.0 + hour} for hour in range(8, 14)),
        *({"time_hour": _hour(hour), "temp": 100.0, "precip": 5.0, "wind_speed": 99.0} for hour in range(14, 18)),
    )
    (usual,), (planted,) = _rows(_flights({}), WEATHER), _rows(_flights(planted_outcome), planted_weather)
    assert {name for name in usual if usual[name] != planted[name]} == OUTCOME


def test_weather_older_than_six_hours_is_null():
    (fresh,) = _rows(_flights({}), _weather({"time_hour": _hour(9)}))
    (stale,) = _rows(_flights({}), _weather({"time_hour": _hour(8)}))
    assert fresh["temp_f"] == 60.0
    assert stale["temp_f"] is None
    assert stale["wind_mph"] is None


def test_an_impossible_wind_drops_the_weather_row_and_not_the_flight():
    (row,) = _rows(
        _flights({}),
        _weather({"time_hour": _hour(12), "temp": 50.0}, {"time_hour": _hour(13), "wind_speed": 1048.36}),
    )
    assert row["temp_f"] == 50.0
    assert row["wind_mph"] == 10.0


def test_the_weather_is_that_of_the_own_airport():
    (row,) = _rows(_flights({"origin": "JFK"}), WEATHER)
    assert row["temp_f"] is None


def test_the_hour_and_the_day_count_scheduled_flights_of_the_same_airport_cancelled_ones_too():
    rows = _rows(
        _flights(
            {"sched_dep_time": 1000},
            {"sched_dep_time": 1059, "dep_time": None, "arr_delay": None},
            {"sched_dep_time": 1100},
            {"sched_dep_time": 1030, "origin": "JFK"},
        ),
        WEATHER,
    )
    assert [row["departures_in_hour"] for row in rows] == [2, 2, 1, 1]
    assert [row["departures_on_day"] for row in rows] == [3, 3, 3, 1]


def test_clock_times_follow_daylight_saving():
    local = np.array(["2013-03-10T01:30", "2013-03-10T03:30", "2013-11-03T01:30"], "datetime64[m]")
    expected = np.array(["2013-03-10T06:30", "2013-03-10T07:30", "2013-11-03T05:30"], "datetime64[m]")
    assert (to_utc(local, np.full(3, "America/New_York")) == expected).all()


@pytest.fixture(scope="module")
def february() -> pa.Table:
    return Flights().read("2013-02")


def test_a_month_has_its_flights_once_without_nan_or_a_missing_instant(february: pa.Table):
    assert february.num_rows == 24951
    assert pc.count_distinct(february["flight"]).as_py() == 24951
    assert february["scheduled_departure_at"].null_count == february["due_at"].null_count == 0
    floats = [name for name in february.column_names if pa.types.is_float64(february[name].type)]
    assert not any(pc.any(pc.is_nan(february[name])).as_py() for name in floats)
    assert pc.max(february["wind_mph"]).as_py() < 100


def test_every_flight_has_a_due_time_after_departure_and_few_land_before_they_leave(february: pa.Table):
    assert pc.all(pc.greater(february["due_at"], february["scheduled_departure_at"])).as_py()
    assert pc.min(february["scheduled_minutes"]).as_py() > 20
    assert pc.max(february["scheduled_minutes"]).as_py() < 800
    assert pc.all(pc.greater(february["label_known_at"], february["scheduled_departure_at"])).as_py()


def test_the_source_travels_and_names_twelve_parts():
    source = pickle.loads(pickle.dumps(Flights()))
    assert source.parts()[0] == "2013-01"
    assert len(source.parts()) == 12
