"""Whether columns go together otherwise than in training, over all windows since the champion came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliostat.triggers import JointDrift
from heliostat.watch.conditions import Condition
from heliostat.watch.detector import aligned, detect, surely_large
from heliostat.watch.events import Alert, WindowClosed

NOTICE_RUN_LENGTH = 1000  # windows until the first false notice, on average
NUM_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Untied:
    """Pairs of columns that surely changed, the surest first: how far in the newest window, and since when."""

    change_by_pair: dict[str, float]
    onset: WindowClosed


def joint_drifting(trigger: JointDrift, windows: Sequence[WindowClosed]) -> Condition | None:
    """The condition that some pair of columns surely goes together otherwise; windows are given in time order."""
    found = _untied(windows, run_length=trigger.run_length)
    if found is None:
        return None
    evidence = {"trigger": "joint_drift", "change_by_pair": found.change_by_pair, "run_length": trigger.run_length}
    return Condition(reason=_said(found), onset_at=found.onset.since, evidence=evidence)


def untied(windows: Sequence[WindowClosed], *, at: datetime) -> Alert | None:
    """Says to people that columns go together otherwise than in training; None while they do not."""
    found = _untied(windows, run_length=NOTICE_RUN_LENGTH)
    if found is None:
        return None
    evidence = {"notice": "joint_drift", "change_by_pair": found.change_by_pair, "onset_at": found.onset.since}
    return Alert(reason=_said(found), detected_at=at, evidence=evidence)


def _untied(windows: Sequence[WindowClosed], *, run_length: int) -> Untied | None:
    told = [(window, window.together) for window in windows if window.together is not None]
    if not told:
        return None
    newest = told[-1][1]
    names = [f"{one} and {other}" for one, other in newest.pairs]
    values = aligned([one.log_evidence for _, one in told]).reshape(len(told), len(names), -1)
    sums = {name: detect(values[:, place]).log_value for place, name in enumerate(names)}
    moved = surely_large(sums, run_length=run_length)
    if not moved:
        return None
    changes = dict(zip(names, newest.changes, strict=True))
    return Untied(
        change_by_pair={name: changes[name] for name in moved},
        onset=told[detect(values[:, names.index(moved[0])]).onset][0],
    )


def _said(found: Untied) -> str:
    named = [f"{name} (correlation off by {change:.2f})" for name, change in found.change_by_pair.items()]
    more = len(named) - NUM_NAMED
    return (
        f"columns go together otherwise than in training since {found.onset.since:%Y-%m-%d}: "
        f"{', '.join(named[:NUM_NAMED])}{f' and {more} more pairs' if more > 0 else ''}"
    )
