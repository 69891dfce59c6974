"""The numbers of a turn for people: one line of steps with their durations, one of what it gained and cost."""

from collections.abc import Mapping
from typing import Any

UNITS = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def told(turn: Mapping[str, Any]) -> list[str]:
    """Two lines of a turn's numbers, as `heliostat.govern.numbers.numbers` gives them."""
    steps = " → ".join(f"{step} after {duration(seconds)}" for step, seconds in turn["seconds_to"].items())
    shown = [
        f"gained {turn['gain']:+.4f} a row" if turn["gain"] is not None else None,
        f"lost {turn['quality_lost']:.1f} in loss meanwhile" if turn["quality_lost"] is not None else None,
        f"{turn['labels']:,} labels" if turn["labels"] is not None else None,
        f"{turn['fits']} fits" if turn["fits"] is not None else None,
        f"{turn['cpu_s']:.1f} CPU-seconds" if turn["cpu_s"] is not None else None,
    ]
    figures = ", ".join(one for one in shown if one is not None)
    return [
        f"turn {turn['turn']} {turn['outcome']}, from {turn['began_at'][:16]}: {steps}",
        f"  {figures or 'no figures'}",
    ]


def duration(seconds: float) -> str:
    """In the largest unit that is not below one."""
    for unit, length in UNITS:
        if abs(seconds) >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
