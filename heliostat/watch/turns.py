"""The loop's turns as numbers with names: how many ended how, and how the last one went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from heliostat.watch.measured_quality import Measurement

GAUGES = {
    "gain": ("turn_gain", "Loss a row that the last turn's candidate took off on its hold-out"),
    "quality_lost": ("turn_quality_lost", "Loss above what was expected, over the rows of the last turn (estimated)"),
    "labels": ("turn_labelled_rows", "Labelled rows that the last turn used"),
    "fits": ("turn_fits", "Fits of the last turn"),
    "cpu_s": ("turn_run_cpu_seconds", "CPU-seconds of the last turn's run"),
}


def measured(turns: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """The figures of turns as the steward wrote them down, the newest last."""
    if not turns:
        return []
    ended = Counter(str(turn["outcome"]) for turn in turns)
    last = turns[-1].get("numbers", {})
    told = [
        Measurement(name="turns_ended", help="Turns by outcome", value=number, label_by_name={"outcome": outcome})
        for outcome, number in ended.items()
    ]
    told += [
        Measurement(
            name="turn_step_seconds",
            help="On the clock of the events, from the step before to this one, in the last turn",
            value=seconds,
            label_by_name={"step": step},
        )
        for step, seconds in last.get("seconds_to", {}).items()
    ]
    return told + [
        Measurement(name=name, help=text, value=last[key])
        for key, (name, text) in GAUGES.items()
        if last.get(key) is not None
    ]
