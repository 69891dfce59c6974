"""What the steward hears: asks of the monitor, labelled rows, the turn's job, and how its trial does.

Reads:  catalog: journal, runs; lake: predictions, shadows, labels; Ray's job API
Writes: catalog: journal, what is suspected of labels that a trial is judged by; a job that hangs is stopped
"""

import math
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from actors.commanding import run_id, submission_id
from actors.leases import Holder
from actors.proxy import Proxy, catalog
from actors.shut_out import shut_out, suspected
from actors.trial import compared
from actors.watch import Watch
from cluster import names, submit
from heliostat.errors import NotFoundError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import TurnRecord
from heliostat.govern.comparison import estimated
from heliostat.govern.events import Asked, Event, Matured, RunEnded, RunLost, TrialSeen
from heliostat.govern.numbers import retrained_at
from heliostat.govern.turn import LoopState
from heliostat.records import JournalEntry
from heliostat.settings import Settings
from heliostat.store.lake import Lake
from heliostat.told_labels import answered, counted
from heliostat.triggers import Decay

ATTEMPT_TIMEOUT_S = 3600.0  # a job that hangs must not hold the loop for ever


class Hearing:
    """The ears of one workload's steward: events as they are in the stores, nothing decided."""

    def __init__(self, watch: Watch, settings: Settings, lake: Lake, *, holder: Holder) -> None:
        self._watch, self._settings, self._lake, self._holder = watch, settings, lake, holder
        self._waiting_since: dict[str, float] = {}
        self._probed_at: datetime | None = None

    @property
    def _margin(self) -> float:
        """A gain of more than that may mean that the world still moves; without `Decay` no gain does."""
        margins = [trigger.margin for trigger in self._watch.triggers if isinstance(trigger, Decay)]
        return min(margins, default=math.inf)

    def matured(self, state: LoopState, clock: datetime) -> list[Event]:
        """How many rows since the last change are labelled, and how many are asked a day."""
        changed_at = state.world.changed_at
        num_rows, per_day = Proxy(names.monitor(self._watch.workload)).matured(changed_at or clock)
        return [Matured(at=clock, num_since_change=0 if changed_at is None else num_rows, rows_per_day=per_day)]

    def seen(self, state: LoopState, clock: datetime) -> list[Event]:
        """How the turn's job or its trial does."""
        events: list[Event] = []
        turn = state.turn
        if state.phase == "retraining" and turn is not None:
            events += self._run_events(turn.turn, turn.attempt, clock)
        if state.phase in ("shadow", "canary") and turn is not None:
            events.append(self._judging(state, turn, clock))
        return events + self._probation_seen(state, clock)

    def _probation_seen(self, state: LoopState, clock: datetime) -> list[Event]:
        """The rows of the last trial once more, with the labels that came since: once a window of event time."""
        turn = state.on_probation(clock)
        if turn is None or (self._probed_at is not None and clock < self._probed_at + self._watch.loop.window):
            return []
        self._probed_at = clock
        return [self._judging(state, turn, clock)]

    def _judging(self, state: LoopState, turn: TurnRecord, clock: datetime) -> TrialSeen:
        """How the trial does by labels that were screened, where they judge it now.

        Screened only then: the screen reads three months of labels, and a trial is looked at every few seconds.
        """
        seen = self._trial_seen(turn, clock)
        if not state.is_judged_by(seen):
            return seen
        name, loop = self._watch.workload, self._watch.loop
        told = counted(answered(self._lake, name, task=self._watch.task, as_of=clock), span=loop.window)
        news = suspected(
            catalog(),
            name,
            told,
            max_contradicted=loop.max_contradicted,
            by=self._holder.name,
            lease=self._holder.lease(),
        )
        return self._trial_seen(turn, clock) if any(found.is_shut_out for found in news) else seen

    def _trial_seen(self, turn: TurnRecord, clock: datetime) -> TrialSeen:
        since = turn.shadow_at or turn.canary_at
        assert since is not None, f"turn {turn.turn} has a trial that never began"
        assert turn.candidate is not None, f"turn {turn.turn} has a trial without a candidate"
        name, columns = self._watch.workload, self._watch.columns
        seen, rows = compared(
            self._lake,
            name,
            columns,
            version=turn.candidate,
            since=since,
            clock=clock,
            until=turn.full_at,
            task=self._watch.task,
            shut_out=shut_out(catalog(), name),
        )
        return TrialSeen(
            at=clock,
            turn=turn.turn,
            paired=seen.losses,
            num_scored=seen.num_scored,
            num_errors=seen.num_errors,
            error=seen.error,
            distance=seen.distance,
            model_ms=None if seen.own_ms is None else seen.own_ms.p75,
            champion_model_ms=None if seen.other_ms is None else seen.other_ms.p75,
            estimated=None if self._watch.loop.max_estimated_loss is None else estimated(rows, self._watch.task),
        )

    def _run_events(self, turn: int, attempt: int, clock: datetime) -> list[Event]:
        """What became of the turn's job, when something did."""
        result = self._result(turn)
        if result is not None:  # asked first: the catalog outlives Ray's table of jobs
            kind = Promote if result["verdict"] == "promote" else Hold
            return [
                RunEnded(
                    at=clock,
                    turn=turn,
                    attempt=attempt,
                    candidate=result["version"],
                    verdict=kind(tuple(result["reasons"])),
                    retrained_at=retrained_at(result.get("fitted_at"), clock=clock),
                    distance=result.get("inputs", {}).get("distance"),
                    estimate=result.get("inputs", {}).get("estimate"),
                    is_moving=result.get("sure_gain", 0.0) > self._margin,
                    gain=result.get("gain"),
                    num_labels=result.get("labels"),
                    num_fits=result.get("fits"),
                    cpu_s=result.get("cpu_s"),
                    is_returned=result.get("is_returned", False),
                    is_failed=result.get("is_failed", False),
                )
            ]
        identifier = submission_id(self._watch.workload, turn, attempt)
        job = submit.state(self._settings, identifier)
        if job is not None and not job.has_ended:
            if not self._is_overdue(identifier):
                return []
            submit.stop(self._settings, identifier)
            why = f"it ran longer than {ATTEMPT_TIMEOUT_S / 60:.0f} minutes and was stopped"
            return [RunLost(at=clock, turn=turn, attempt=attempt, why=why)]
        why = "its job is gone" if job is None else job.message.partition("\n")[0][:200]
        return [RunLost(at=clock, turn=turn, attempt=attempt, why=why)]

    def _is_overdue(self, identifier: str) -> bool:
        """Whether this life has waited too long for the job; counted from when it first saw it run."""
        since = self._waiting_since.setdefault(identifier, time.monotonic())
        return time.monotonic() - since > ATTEMPT_TIMEOUT_S

    def _result(self, turn: int) -> Mapping[str, Any] | None:
        """The verdict of the turn's run; None while there is none."""
        try:
            return catalog().run(run_id(self._watch.workload, turn)).result
        except NotFoundError:
            return None


def asked(entry: JournalEntry) -> Asked:
    """What the monitor wrote down, as the loop hears it."""
    detected_at = datetime.fromisoformat(entry.payload["detected_at"])
    conditions = entry.payload["evidence"].get("conditions", ())
    return Asked(
        at=detected_at,
        reasons=tuple(entry.payload["reasons"]),
        triggers=tuple(condition["trigger"] for condition in conditions),
        gap=max((one["excess"] for one in conditions if one["trigger"] == "decay" and "excess" in one), default=None),
        onset_at=datetime.fromisoformat(entry.payload["onset_at"]),
        detected_at=detected_at,
    )
