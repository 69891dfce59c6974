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

from actors.commanding import Commander
from actors.hearing import Hearing, asked
from actors.leases import Holder
from actors.proxy import Proxy, catalog
from actors.watch import Watch
from cluster import names
from heliostat.govern.events import Cancelled, Ticked
from heliostat.govern.numbers import numbers
from heliostat.govern.turn import LoopState
from heliostat.settings import Settings
from heliostat.store.lake import Lake
from heliostat.watch.followed import RETRAIN

STATE, CLOCK = "steward", "clock"
WALL = "wall"  # whoever else moves the clock calls `advance` himself
TICK_S = 10.0
NUM_SHOWN = 10  # turns of the status
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StewardStatus:
    """Where the loop stands; `busy` while a turn trains."""

    phase: str
    turn: int
    clock: datetime | None
    busy: bool
    summary: str
    declined: str | None = None  # why a turn that was asked for does not start
    turns: tuple[Mapping[str, Any], ...] = ()  # the numbers of the last ones, the newest last


class Steward:
    """One turn at a time; the clock is the wall's, or a replay's while one has it."""

    def __init__(self, watch: Watch, *, module: str, settings: Settings) -> None:
        self._watch, self._settings = watch, settings
        self._lake = Lake(settings.lake_uri)
        self._holder = Holder(f"steward/{watch.workload}")
        self._commander = Commander(watch, module=module, settings=settings, holder=self._holder)
        self._hearing = Hearing(watch, settings, self._lake, holder=self._holder)
        self._state: LoopState | None = None
        self._is_reconciled = False
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
        seen = self._hearing.seen(
            state, clock
        )  # before the asks: the job of a turn that they start is not submitted yet
        try:
            for ask in asks:
                state.handle(asked(ask))
            for event in [*self._hearing.matured(state, clock), *seen, Ticked(at=clock)]:
                state.handle(event)
        except BaseException:
            self._state = None  # memory must not run ahead of what is stored
            raise
        # All of them, and only now: an ask that is skipped because something failed on the way would be lost.
        if asks:
            self._seen_sequence = asks[-1].sequence
        self._store(state)

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
            declined=state.declined,
            turns=tuple(numbers(turn) for turn in state.turns[-NUM_SHOWN:]),
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
