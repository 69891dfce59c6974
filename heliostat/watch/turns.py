"""The loop's turns as numbers with names: how many ended how, and how the last one went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from heliostat.watch.gauges import Gauge, Measurement

ENDED = Gauge("turns_ended", "Turns by outcome", ("outcome",))
STEP = Gauge(
    "turn_step_seconds",
    "On the clock of the events, from the step before to this one, in the last turn",
    ("step",),
)
GAUGE_BY_NUMBER = {
    "gain": Gauge("turn_gain", "Loss a row that the last turn's candidate took off on its hold-out"),
    "quality_lost": Gauge(
        "turn_quality_lost", "Loss above what was expected, over the rows of the last turn (estimated)"
    ),
    "labels": Gauge("turn_labelled_rows", "Labelled rows that the last turn used"),
    "fits": Gauge("turn_fits", "Fits of the last turn"),
    "cpu_s": Gauge("turn_run_cpu_seconds", "CPU-seconds of the last turn's run"),
}


def measured(turns: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """The figures of turns as the steward wrote them down, the newest last."""
    if not turns:
        return []
    last = turns[-1].get("numbers", {})
    return [
        *(ENDED.of(number, outcome) for outcome, number in Counter(str(one["outcome"]) for one in turns).items()),
        *(STEP.of(seconds, step) for step, seconds in last.get("seconds_to", {}).items()),
        *(gauge.of(last[key]) for key, gauge in GAUGE_BY_NUMBER.items() if last.get(key) is not None),
    ]
