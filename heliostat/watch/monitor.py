"""The monitor as a state machine: closed windows and matured cohorts in, reasons to retrain out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from heliostat.triggers import Age, Decay, Drift, Growth, JointDrift, Single, Slack, SliceDrift, Trigger, singles
from heliostat.watch import notices
from heliostat.watch.conditions import MIN_COVERAGE, Condition, aged, decaying, drifting, grown
from heliostat.watch.events import (
    Alert,
    ChampionChanged,
    CohortMatured,
    Decision,
    Event,
    Retrain,
    Tick,
    TurnEnded,
    WindowClosed,
)
from heliostat.watch.joint import joint_drifting, untied
from heliostat.watch.monitor_json import (
    champion_from_json,
    champion_to_json,
    cohort_from_json,
    cohort_to_json,
    window_from_json,
    window_to_json,
)
from heliostat.watch.sliced import moved_within, slice_drifting

Kept = TypeVar("Kept")
# Windows and cohorts remembered. The detectors' sums begin anew with each of them, so forgetting one only loses
# evidence of a change that began before it; rows that `Growth` counts are kept as a number.
NUM_KEPT = 400


class MonitorState:
    """What has been seen since the champion came; the same events give the same decisions.

    Each condition is said once, until the champion changes or the loop's turn ends.
    """

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._triggers = tuple(
            test for trigger in triggers for test in (trigger.tests if isinstance(trigger, Decay) else (trigger,))
        )
        self._champion: ChampionChanged | None = None
        self._windows: dict[datetime, WindowClosed] = {}
        self._cohorts: dict[datetime, CohortMatured] = {}
        self._first: WindowClosed | None = None
        self._said: set[str] = set()
        self._forgotten_until: datetime | None = None
        self._num_forgotten = 0
        self._latest_at: datetime | None = None

    @property
    def champion(self) -> ChampionChanged | None:
        """The version that is watched; None before the first."""
        return self._champion

    @property
    def newest_window(self) -> WindowClosed | None:
        """The last window of event time that closed since the champion came."""
        return self._windows[max(self._windows)] if self._windows else None

    @property
    def first_window(self) -> WindowClosed | None:
        """The first window with enough rows that lies behind the champion's promotion, as it closed first."""
        return self._first

    @property
    def cohorts(self) -> list[CohortMatured]:
        """The cohorts that fell due since the champion came, in time order."""
        return [self._cohorts[since] for since in sorted(self._cohorts)]

    @property
    def _in_order(self) -> list[WindowClosed]:
        return [self._windows[since] for since in sorted(self._windows)]

    @property
    def newest_cohort(self) -> CohortMatured | None:
        """The last cohort that fell due since the champion came."""
        return self._cohorts[max(self._cohorts)] if self._cohorts else None

    def handle(self, event: Event) -> list[Decision]:
        """Take in one event and return what follows from it; an event told twice changes nothing."""
        match event:
            case WindowClosed():
                return self._close(event)
            case CohortMatured():
                return self._mature(event)
            case ChampionChanged():
                return self._change_champion(event)
            case TurnEnded():
                self._said = {name for name in self._said if not name.startswith("retrain:")}
                # Told when its rest is over: a turn after it may have won meanwhile.
                if event.is_in_vain and self._champion is not None and event.at >= self._champion.at:
                    self._champion = replace(self._champion, has_won=False)
                return []
            case Tick():
                return self._check((Age,), self._clock_at(event.at))

    def _close(self, event: WindowClosed) -> list[Decision]:
        if self._champion is None or event.version != self._champion.version:
            return []  # compared with a profile that no longer serves
        self._windows = _newest(self._windows | {event.since: event})
        at = self._clock_at(event.until)
        return self._notices(event, at, champion=self._champion) + self._check((Drift, JointDrift, SliceDrift), at)

    def _notices(self, event: WindowClosed, at: datetime, *, champion: ChampionChanged) -> list[Decision]:
        """What a person should know, each once while the champion serves."""
        found: dict[str, Alert | None] = {}
        if self._first is None and notices.is_first(event, champion=champion):
            self._first = event
            found["alert:skew"] = notices.skewed(event, at=at)
        found |= {f"alert:varies:{name}": alert for name, alert in notices.began_to_vary(event, at=at).items()}
        if event.together is not None and "alert:together" not in self._said:
            found["alert:together"] = untied(self._in_order, at=at)
        if event.within is not None and "alert:within" not in self._said:
            found["alert:within"] = moved_within(self._in_order, at=at)
        told = {name: alert for name, alert in found.items() if alert is not None and name not in self._said}
        self._said |= told.keys()
        return list(told.values())

    def _mature(self, event: CohortMatured) -> list[Decision]:
        if self._champion is None or event.until <= self._champion.at:
            return []  # fell due before the champion came
        if self._forgotten_until is not None and event.since <= self._forgotten_until:
            return []  # counted already, and too old to change what is remembered
        known = self._cohorts | {event.since: event}
        self._cohorts = _newest(known)
        for since in sorted(known.keys() - self._cohorts.keys()):
            self._forgotten_until = since
            self._num_forgotten += sum(score.num_labelled for score in known[since].score_by_version.values())
        at = self._clock_at(event.until)
        return self._alert_of_coverage(event, self._champion.version) + self._check((Decay, Slack, Growth), at)

    def _clock_at(self, at: datetime) -> datetime:
        """The latest time heard of: what is told late is detected now, not then."""
        self._latest_at = at if self._latest_at is None else max(self._latest_at, at)
        return self._latest_at

    def _change_champion(self, event: ChampionChanged) -> list[Decision]:
        if self._champion is not None and (event.version, event.at) == (
            self._champion.version,
            self._champion.at,
        ):
            return []
        self._champion = event
        self._windows, self._cohorts, self._said, self._first = {}, {}, set(), None
        self._forgotten_until, self._num_forgotten = None, 0
        watched = dict.fromkeys(trigger.metric for trigger in singles(self._triggers) if isinstance(trigger, Decay))
        return [
            Alert(
                reason=f"version {event.version} has no hold-out {metric}: its decay cannot be seen",
                detected_at=event.at,
                evidence={"metric": metric.name},
            )
            for metric in watched
            if metric.name not in event.reference_by_metric
        ]

    def _alert_of_coverage(self, event: CohortMatured, version: int) -> list[Decision]:
        score = event.score_by_version.get(version)
        if score is None:
            return []
        if score.coverage >= MIN_COVERAGE:
            self._said.discard("alert:coverage")
            return []
        if "alert:coverage" in self._said:
            return []
        self._said.add("alert:coverage")
        share, due = f"{score.coverage:.0%} of {score.num_predictions:,}", event.until.isoformat()
        evidence = {"num_labelled": score.num_labelled, "num_predictions": score.num_predictions}
        return [
            Alert(
                reason=f"only {share} predictions due by {due} have a label",
                detected_at=self._clock_at(event.until),
                evidence=evidence,
            )
        ]

    def _check(self, kinds: tuple[type[Single], ...], at: datetime) -> list[Decision]:
        """One Retrain for all conditions of these kinds that hold and were not said yet."""
        held: list[Condition] = []
        for place, trigger in enumerate(self._triggers):
            name = f"retrain:{place}"
            if name in self._said or not any(isinstance(one, kinds) for one in singles([trigger])):
                continue
            conditions = [self._condition(one, at) for one in singles([trigger])]
            if all(conditions):
                self._said.add(name)
                held += [condition for condition in conditions if condition is not None]
        if not held:
            return []
        return [
            Retrain(
                reasons=tuple(condition.reason for condition in held),
                onset_at=min(condition.onset_at for condition in held),
                detected_at=at,
                evidence={"conditions": [dict(condition.evidence) for condition in held]},
            )
        ]

    def _condition(self, trigger: Single, at: datetime) -> Condition | None:
        if self._champion is None:
            return None
        match trigger:
            case Drift() | JointDrift() | SliceDrift():
                return _of_windows(trigger, self._in_order)
            case Decay():
                found = [decaying(test, self.cohorts, champion=self._champion) for test in trigger.tests]
                return next((condition for condition in found if condition is not None), None)
            case Slack():
                return decaying(trigger, self.cohorts, champion=self._champion)
            case Age():
                return aged(trigger, at, champion=self._champion)
            case Growth():
                return grown(trigger, self.cohorts, champion=self._champion, num_before=self._num_forgotten)

    def to_json(self) -> dict[str, Any]:
        """What to store between restarts; the triggers are in the workload."""
        return {
            "champion": None if self._champion is None else champion_to_json(self._champion),
            "windows": [window_to_json(self._windows[since]) for since in sorted(self._windows)],
            "cohorts": [cohort_to_json(self._cohorts[since]) for since in sorted(self._cohorts)],
            "first": None if self._first is None else window_to_json(self._first),
            "forgotten_until": None if self._forgotten_until is None else self._forgotten_until.isoformat(),
            "num_forgotten": self._num_forgotten,
            "said": sorted(self._said),
            "latest_at": None if self._latest_at is None else self._latest_at.isoformat(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, triggers: Sequence[Trigger]) -> "MonitorState":
        """The state that `to_json` wrote: it goes on where the first one stopped."""
        state = cls(triggers)
        state._champion = None if value["champion"] is None else champion_from_json(value["champion"])
        state._windows = {window.since: window for window in map(window_from_json, value["windows"])}
        state._cohorts = {cohort.since: cohort for cohort in map(cohort_from_json, value["cohorts"])}
        state._first = window_from_json(value["first"]) if value.get("first") else None
        forgotten_until = value.get("forgotten_until")  # lacking before 0.2
        state._forgotten_until = None if forgotten_until is None else datetime.fromisoformat(forgotten_until)
        state._num_forgotten = value.get("num_forgotten", 0)
        state._said = set(value["said"])
        state._latest_at = None if value["latest_at"] is None else datetime.fromisoformat(value["latest_at"])
        return state


def _of_windows(trigger: Drift | JointDrift | SliceDrift, windows: Sequence[WindowClosed]) -> Condition | None:
    match trigger:
        case Drift():
            return drifting(trigger, windows)
        case JointDrift():
            return joint_drifting(trigger, windows)
        case SliceDrift():
            return slice_drifting(trigger, windows)


def _newest(by_since: dict[datetime, Kept]) -> dict[datetime, Kept]:
    return {since: by_since[since] for since in sorted(by_since)[-NUM_KEPT:]}
