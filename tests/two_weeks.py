"""Two weeks of flights with a turn in the middle of them: what the fault tests replay."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from heliostat import Age, Loop, Replay
from workloads import flights

workload = replace(
    flights.workload,
    name="two-weeks",
    retrain_on=(Age(timedelta(days=4)),),
    loop=Loop(cooldown=timedelta(days=3), canary_span=timedelta(days=1), max_turns=1),
    replay=Replay(since=datetime(2013, 3, 1, tzinfo=UTC), until=datetime(2013, 3, 15, tzinfo=UTC)),
)
