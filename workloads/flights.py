"""Will this flight arrive more than 15 minutes late, from what is known at scheduled departure?"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from torch import nn

from heliostat import (
    Age,
    Batch,
    BetterThanConstant,
    Binary,
    Category,
    Decay,
    Encoded,
    Growth,
    Loop,
    NoWorseThanChampion,
    Number,
    Replay,
    Training,
    Workload,
)
from heliostat.learn.network import TabularNetwork, circle, stack
from heliostat.metrics import auc, brier, calibration_error, log_loss
from workloads.flights_source import Flights

SCHEDULE = [
    Number("departure_minute", low=0, high=1439),
    Number("scheduled_minutes", low=20, high=1000),
    Number("distance_miles", low=0, high=6000),
    Number("departures_in_hour", low=1, high=100),
    Number("departures_on_day", low=1, high=1000),
]
WEATHER = [
    Number("temp_f", low=-40, high=130, optional=True),
    Number("dew_point_f", low=-60, high=100, optional=True),
    Number("humidity_percent", low=0, high=100, optional=True),
    Number("wind_direction_deg", low=0, high=360, optional=True),
    Number("wind_mph", low=0, high=150, optional=True),
    Number("gust_mph", low=0, high=200, optional=True),
    Number("rain_in", low=0, high=10, optional=True),
    Number("pressure_mbar", low=850, high=1100, optional=True),
    Number("visibility_miles", low=0, high=10, optional=True),
]
CATEGORIES = [
    Category("carrier"),
    Category("origin", closed=("EWR", "JFK", "LGA")),
    Category("destination"),
    Category("weekday", closed=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
]


def encode(batch: Batch) -> Encoded:
    """Raw columns to model input; training and serving both call exactly this."""
    clock = circle(batch["departure_minute"], 1440)
    wind = circle(batch["wind_direction_deg"], 360)
    numbers = [batch[column.name] for column in SCHEDULE + WEATHER]
    return stack([*numbers, *clock, *wind], categories=[batch[column.name] for column in CATEGORIES])


def model(sizes: Mapping[str, int]) -> nn.Module:
    """Embeddings and soft steps into a small residual network."""
    return TabularNetwork(len(SCHEDULE + WEATHER) + 4, [sizes[column.name] for column in CATEGORIES])


workload = Workload(
    name="flights",
    source=Flights(),
    key="flight",
    event_time="scheduled_departure_at",
    due_time="due_at",
    label_time="label_known_at",
    columns=[*SCHEDULE, *WEATHER, *CATEGORIES],
    label=Binary("late"),
    encode=encode,
    model=model,
    training=Training(epochs=3, batch_size=512, learning_rate=1e-3),
    metrics=[log_loss, auc, brier, calibration_error],
    gates=[BetterThanConstant(log_loss), NoWorseThanChampion(log_loss, margin=0.005)],
    retrain_on=[Growth(0.25), Decay(log_loss, margin=0.05), Age(timedelta(days=90))],
    loop=Loop(cooldown=timedelta(days=14), max_turns=8),
    replay=Replay(since=datetime(2013, 3, 1, 5, tzinfo=UTC), until=datetime(2014, 1, 1, 5, tzinfo=UTC)),
)
