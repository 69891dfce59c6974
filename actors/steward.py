"""Steers one workload: carries a turn from its reason to promotion, or back.

Reads:  catalog: journal, runs, aliases; lake: predictions, shadows, labels
Writes: catalog: its state, aliases, turns; submits jobs; Serve's routing

What is to be done is decided by `heliostat.govern.turn.LoopState`. The state is stored before its commands are carried
out, and every command may be carried out twice, so a killed steward goes on where it was.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from actors.commanding import Commander, run_id, submission_id
from actors.leases import Holder
from actors.monitor import RETRAIN, Watch
from actors.proxy import Proxy, catalog
from actors.trial import compare
from cluster import names, submit
from heliostat.errors import NotFoundError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import TurnRecord
from heliostat.govern.events import Asked, Cancelled, Event, RunEnded, RunLost, Ticked, TrialSeen
from heliostat.govern.turn import LoopState
from heliostat.records import JournalEntry
from heliostat.settings import Settings
from heliostat.store.lake import Lake

STATE, CLOCK = "steward", "clock"
WALL = "wall"  # whoever else moves the clock calls `advance` himself
TICK_S = 10.0
ATTEMPT_TIMEOUT_S = 3600.0  # a job that hangs must not hold the loop for ever
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StewardStatus:
    """Where the loop stands; `busy` while a turn trains."""

    phase: str
    turn: int
    clock: datetime | None
    busy: bool
    summary: str


class Steward:
    """One turn at a time; the clock is the wall's, or a replay's while one has it."""

    def __init__(self, watch: Watch, *, module: str, settings: Settings) -> None:
        self._watch, self._settings = watch, settings
        self._lake = Lake(settings.lake_uri)
        self._holder = Holder(f"steward/{watch.workload}")
        self._commander = Commander(watch, module=module, settings=settings, holder=self._holder)
        self._state: LoopState | None = None
        self._is_reconciled = False
        self._waiting_since: dict[str, float] = {}
        self._clock: datetime | None = None
        self._seen_sequence = 0
        self._turning = threading.Lock()
        threading.Thread(target=self._tick, name="steward-clock", daemon=True).start()

    def advance(self, clock: datetime) -> StewardStatus:
        """Let the monitor look, take in what happened up to `clock`, and do what follows."""
        with self._turning:
            state = self._restored()
            self._reconcile()
            self._carry_out(state)
            if self._clock is None or clock > self._clock:
                Proxy(names.monitor(self._watch.workload)).observe(clock)
                self._clock = clock
            self._take_in(state, self._clock)
            self._carry_out(state)
            return self._status(state)

    def status(self) -> StewardStatus:
        """Where the loop stands now."""
        with self._turning:
            return self._status(self._restored())

    def promote(
        self,
        version: int,
        by: str,
        *,
        reasons: Sequence[str] = (),
        inputs: dict[str, Any] | None = None,
        clock: datetime | None = None,
    ) -> StewardStatus:
        """The version is champion on every replica; a turn that runs is ended. `inputs` is what it was judged on."""
        with self._turning:
            state = self._restored()
            self._cancel(state, by=by, why=f"version {version} was promoted by hand")
            said = reasons or (f"asked for by {by}; not judged",)
            self._commander.promote(version, by=by, reasons=said, inputs=inputs or {}, clock=clock or self._now())
            return self._status(state)

    def rollback(self, by: str, champion: int | None = None) -> StewardStatus:
        """The version before `champion` answers again on every replica; a turn that runs is ended.

        Asked twice with the same `champion` it does it once.
        """
        with self._turning:
            state = self._restored()
            self._cancel(state, by=by, why="rolled back by hand")
            self._commander.roll_back(champion, by=by, clock=self._now())
            return self._status(state)

    def hold(self, by: str) -> StewardStatus:
        """The candidate of the turn that runs gets no traffic, and the turn is over."""
        with self._turning:
            state = self._restored()
            self._cancel(state, by=by, why="held by hand")
            return self._status(state)

    def _cancel(self, state: LoopState, *, by: str, why: str) -> None:
        state.handle(Cancelled(at=self._now(), by=by, why=why))
        self._store(state)
        self._carry_out(state)

    def _take_in(self, state: LoopState, clock: datetime) -> None:
        """Everything that happened up to `clock` is in the state, and the state is stored."""
        asks = catalog().entries(self._watch.workload, kind=RETRAIN, after_sequence=self._seen_sequence)
        events: list[Event] = [*map(_asked, asks), *self._seen(state, clock), Ticked(at=clock)]
        for event in events:
            state.handle(event)
        # All of them, and only now: an ask that is skipped because something failed on the way would be lost.
        if asks:
            self._seen_sequence = asks[-1].sequence
        self._store(state)

    def _seen(self, state: LoopState, clock: datetime) -> list[Event]:
        """How the turn's job or its trial does."""
        events: list[Event] = []
        turn = state.turn
        if state.phase == "retraining" and turn is not None:
            events += self._run_events(turn.turn, turn.attempt, clock)
        if state.phase in ("shadow", "canary") and turn is not None:
            events.append(self._trial_seen(turn, clock))
        return events

    def _trial_seen(self, turn: TurnRecord, clock: datetime) -> TrialSeen:
        since = turn.shadow_at or turn.canary_at
        assert since is not None, f"turn {turn.turn} has a trial that never began"
        assert turn.candidate is not None, f"turn {turn.turn} has a trial without a candidate"
        name, columns = self._watch.workload, self._watch.columns
        seen = compare(self._lake, name, columns, version=turn.candidate, since=since, clock=clock)
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
                    retrained_at=clock,
                    distance=result.get("inputs", {}).get("distance"),
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

    def _carry_out(self, state: LoopState) -> None:
        if not state.unfinished:
            return
        for command in state.unfinished:
            logger.info("%s: %s", self._watch.workload, command)
            self._commander.carry_out(command, clock=self._now())
        state.finish()
        self._store(state)

    def _restored(self) -> LoopState:
        if self._state is None:
            stored = catalog().get_state(self._watch.workload, STATE)
            if stored is None:
                self._state = LoopState(self._watch.loop)
                self._seen_sequence, self._clock = 0, None
            else:
                self._state = LoopState.from_json(stored["state"], loop=self._watch.loop)
                self._seen_sequence = stored["seen_sequence"]
                self._clock = datetime.fromisoformat(stored["clock"]) if stored["clock"] else None
        return self._state

    def _reconcile(self) -> None:
        """Once a life: Serve follows the catalog, also when an earlier life ended between the two."""
        if not self._is_reconciled and catalog().aliases(self._watch.workload):
            self._commander.publish()
        self._is_reconciled = True

    def _store(self, state: LoopState) -> None:
        stored = {
            "state": state.to_json(),
            "seen_sequence": self._seen_sequence,
            "clock": None if self._clock is None else self._clock.isoformat(),
        }
        try:
            catalog().put_state(
                self._watch.workload,
                STATE,
                stored,
                by=self._holder.name,
                at=datetime.now(UTC),
                lease=self._holder.lease(),
            )
        except BaseException:
            self._state = None  # memory must not run ahead of what is stored
            raise

    def _status(self, state: LoopState) -> StewardStatus:
        turn = state.turn
        summary = f"{state.phase}, {state.num_turns} turns so far"
        if turn is not None:
            summary = f"turn {turn.turn} {state.phase}: {'; '.join(turn.reasons)}"
        elif state.last_turn is not None:
            last = state.last_turn
            summary = f"turn {last.turn} {last.outcome}: {'; '.join(last.outcome_reasons)}"
        return StewardStatus(
            phase=state.phase,
            turn=state.num_turns,
            clock=self._clock,
            busy=state.phase == "retraining",
            summary=summary,
        )

    def _now(self) -> datetime:
        return self._clock or datetime.now(UTC)

    def _tick(self) -> None:
        """Follow the wall's clock, unless a replay has moved the workload to its own."""
        while True:
            time.sleep(TICK_S)
            try:
                stored = catalog().get_state(self._watch.workload, CLOCK)
                if stored is not None and stored["mode"] == WALL:
                    self.advance(datetime.now(UTC))
            # The outer edge of a background thread: whatever failed is in the stores as it was, and the next tick
            # tries again.
            except Exception:
                logger.exception("The loop of %s could not advance; trying again.", self._watch.workload)


def _asked(entry: JournalEntry) -> Asked:
    """What the monitor wrote down, as the loop hears it."""
    detected_at = datetime.fromisoformat(entry.payload["detected_at"])
    return Asked(
        at=detected_at,
        reasons=tuple(entry.payload["reasons"]),
        onset_at=datetime.fromisoformat(entry.payload["onset_at"]),
        detected_at=detected_at,
    )
