"""What became of alarms: the monitor watches itself by what the turns that followed them found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from heliostat.watch.gauges import Gauge, Measurement

TOLD = Gauge("alarms_told", "Changes that led to a turn")
UNCONFIRMED = Gauge(
    "alarms_unconfirmed",
    "Changes after which no candidate took loss off its hold-out: false, or nothing that learning mends",
)
DELAY = Gauge(
    "alarm_delay_seconds",
    "From the estimated onset of a change to its detection, the median of all, on the clock of the events",
)


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Changes that were told: in how many a candidate took loss off its hold-out, and how late each was detected.

    A change whose turns all won nothing there is not confirmed: it was a false alarm, or one that learning cannot mend.
    """

    num_told: int
    num_confirmed: int
    delays_s: tuple[float, ...]


def alarms(turns: Sequence[Mapping[str, Any]]) -> Alarms:
    """The changes of turns as the steward wrote them down; turns of one change are one alarm."""
    by_change: dict[str, list[Mapping[str, Any]]] = {}
    for turn in turns:
        if turn.get("changed_at") is not None:
            by_change.setdefault(turn["changed_at"], []).append(turn)
    return Alarms(
        num_told=len(by_change),
        num_confirmed=sum(any((turn.get("gain") or 0.0) > 0 for turn in group) for group in by_change.values()),
        delays_s=tuple(
            max(0.0, (_instant(group[0]["detected_at"]) - _instant(changed_at)).total_seconds())
            for changed_at, group in by_change.items()
        ),
    )


def measured_alarms(turns: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """The live rate of alarms that nothing confirmed, and the median delay; nothing before the first alarm."""
    found = alarms(turns)
    if not found.num_told:
        return []
    return [
        TOLD.of(found.num_told),
        UNCONFIRMED.of(found.num_told - found.num_confirmed),
        DELAY.of(median(found.delays_s)),
    ]


def _instant(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
