"""The loop as a state machine: idle, retraining, shadow, canary; one turn at a time.

    idle ──Asked──▶ retraining ──RunEnded(Promote)──▶ shadow ──▶ canary, step by step ──▶ promoted
     ▲                  │ RunEnded(Hold): held          │           │
     │                  │                               │ errors, too slow, far off, clearly worse: rolled_back
     └──── cooldown ────┴ RunLost three times: failed ──┴───────────┘

The steward saves the state after `handle`, carries out `unfinished`, calls `finish` and saves again: killed at any
point it finds what is still to be done. Every command may be carried out twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from heliostat.declared.loop import Loop
from heliostat.gates import Promote
from heliostat.govern.commands import (
    Command,
    Deferred,
    Ended,
    MakeChampion,
    Outcome,
    Refused,
    Route,
    Stop,
    Submit,
    TurnRecord,
    Withdraw,
)
from heliostat.govern.events import Asked, Cancelled, Event, RunEnded, RunLost, TrialSeen
from heliostat.govern.stored import (
    ask_from_json,
    ask_to_json,
    command_from_json,
    command_to_json,
    record_from_json,
    record_to_json,
)
from heliostat.govern.trial import MIN_SCORED, fault, verdict

MAX_ATTEMPTS = 3
MAX_SPANS = 10  # that a step of a trial lasts when nobody asks
SHADOW = -1  # the step before the first share of traffic
Phase = Literal["idle", "retraining", "shadow", "canary"]


class LoopState:
    """Where the loop stands; the same events in the same order give the same commands."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._num_turns = 0
        self._record: TurnRecord | None = None
        self._last: TurnRecord | None = None
        self._waiting: Asked | None = None
        self._step = 0
        self._step_at: datetime | None = None
        self._unfinished: tuple[Command, ...] = ()

    @property
    def phase(self) -> Phase:
        """What the loop is doing."""
        if self._record is None:
            return "idle"
        if self._step_at is None:
            return "retraining"
        return "shadow" if self._step == SHADOW else "canary"

    @property
    def turn(self) -> TurnRecord | None:
        """The turn that runs; None when idle."""
        return self._record

    @property
    def last_turn(self) -> TurnRecord | None:
        """The turn that ended last; None before the first end."""
        return self._last

    @property
    def num_turns(self) -> int:
        """How many turns were started."""
        return self._num_turns

    @property
    def unfinished(self) -> tuple[Command, ...]:
        """Commands given since the last `finish`, in order: what is to be carried out, also after a restart."""
        return self._unfinished

    def finish(self) -> None:
        """All commands given so far have been carried out."""
        self._unfinished = ()

    def handle(self, event: Event) -> list[Command]:
        """Take in one event and return what is to be done; events of an old turn or attempt give nothing."""
        commands = self._react(event)
        self._unfinished += tuple(commands)
        return commands

    def _react(self, event: Event) -> list[Command]:
        record = self._record
        if isinstance(event, Asked):
            return self._ask(event) if record is None else self._fold(record, event)
        if isinstance(event, Cancelled):
            return self._cancel(event)
        if record is None:
            return self._start_waiting(event.at)
        if isinstance(event, RunEnded | RunLost):
            return self._hear_of_run(record, event)
        if isinstance(event, TrialSeen) and self._step_at is not None and event.turn == record.turn:
            return self._judge_trial(record, event, step_at=self._step_at)
        return []

    def _hear_of_run(self, record: TurnRecord, event: RunEnded | RunLost) -> list[Command]:
        if self.phase != "retraining" or (event.turn, event.attempt) != (record.turn, record.attempt):
            return []
        return self._judge_run(record, event) if isinstance(event, RunEnded) else self._retry(record, event)

    def _cancel(self, event: Cancelled) -> list[Command]:
        """End the turn that runs, or drop the ask that waits."""
        why = f"cancelled by {event.by}: {event.why}"
        if self._record is not None:
            stop = Stop(turn=self._record.turn, attempt=self._record.attempt)
            stopped: list[Command] = [stop] if self.phase == "retraining" else []
            return stopped + self._withdraw(self._record, at=event.at, outcome="held", reasons=(why,))
        waiting, self._waiting = self._waiting, None
        return [] if waiting is None else [Refused(reasons=waiting.reasons, why=why)]

    def _ask(self, event: Asked) -> list[Command]:
        if self._is_spent:
            return [Refused(reasons=event.reasons, why=f"all {self._loop.max_turns} turns are used")]
        is_first = self._waiting is None
        self._waiting = event if self._waiting is None else _joined(self._waiting, event)
        started = self._start_waiting(event.at)
        if started or not is_first or self._cooldown_until is None:
            return started
        return [Deferred(reasons=event.reasons, until=self._cooldown_until)]

    @property
    def _is_spent(self) -> bool:
        return self._loop.max_turns is not None and self._num_turns >= self._loop.max_turns

    @property
    def _cooldown_until(self) -> datetime | None:
        if self._last is None or self._last.ended_at is None:
            return None
        return self._last.ended_at + self._loop.cooldown

    def _start_waiting(self, at: datetime) -> list[Command]:
        """Start the turn that waits, unless none does or the cooldown is not over."""
        ask, cooldown_until = self._waiting, self._cooldown_until
        if ask is None or self._is_spent or (cooldown_until is not None and at < cooldown_until):
            return []
        self._waiting = None
        self._num_turns += 1
        self._record = TurnRecord(
            turn=self._num_turns,
            reasons=ask.reasons,
            onset_at=ask.onset_at,
            detected_at=ask.detected_at,
            started_at=at,
        )
        return [_submit(self._record)]

    def _fold(self, record: TurnRecord, event: Asked) -> list[Command]:
        # the times stay: the turn was asked for by its first reason, and its job already runs from that onset
        self._record = replace(record, reasons=_union(record.reasons, event.reasons))
        return []

    def _retry(self, record: TurnRecord, event: RunLost) -> list[Command]:
        if record.attempt >= MAX_ATTEMPTS:
            reasons = (f"attempt {event.attempt} of {MAX_ATTEMPTS} was lost: {event.why}",)
            return self._end(record, at=event.at, outcome="failed", reasons=reasons)
        self._record = replace(record, attempt=record.attempt + 1)
        return [_submit(self._record)]

    def _judge_run(self, record: TurnRecord, event: RunEnded) -> list[Command]:
        record = replace(
            record,
            retrained_at=event.retrained_at or event.at,
            gated_at=event.at,
            candidate=event.candidate,
            expected_distance=event.distance,
        )
        if not isinstance(event.verdict, Promote):
            return self._end(record, at=event.at, outcome="held", reasons=event.verdict.reasons)
        if event.candidate is None:
            reasons = ("the run says promote but registered no version",)
            return self._end(record, at=event.at, outcome="failed", reasons=reasons)
        if self._loop.shadow_span:
            self._record = replace(record, shadow_at=event.at)
            return self._route(self._record, at=event.at, step=SHADOW)
        return self._next_share(record, at=event.at, step=0, reasons=event.verdict.reasons)

    def _next_share(self, record: TurnRecord, *, at: datetime, step: int, reasons: tuple[str, ...]) -> list[Command]:
        """The share of that canary step, or all traffic after the last."""
        if step >= len(self._loop.canary_shares):
            return self._promote(record, at=at, reasons=reasons)
        self._record = replace(record, canary_at=record.canary_at or at)
        return self._route(self._record, at=at, step=step)

    def _route(self, record: TurnRecord, *, at: datetime, step: int) -> list[Command]:
        self._step, self._step_at = step, at
        share = 0.0 if step == SHADOW else self._loop.canary_shares[step]
        return [Route(turn=record.turn, version=_candidate(record), share=share)]

    def _judge_trial(self, record: TurnRecord, event: TrialSeen, *, step_at: datetime) -> list[Command]:
        """A fault ends the trial at once; losses and answers are judged once a step, at its end."""
        why = fault(event, self._loop)
        if why is not None:
            return self._withdraw(record, at=event.at, outcome="rolled_back", reasons=(why,))
        span = self._loop.shadow_span if self._step == SHADOW else self._loop.canary_span
        if event.at < step_at + span:
            return []
        if event.num_scored < MIN_SCORED:
            # A candidate that scores nothing (no replica could load it, or nobody asks) is not promoted for it.
            reasons = (f"the candidate scored {event.num_scored} live rows in {MAX_SPANS} spans",)
            is_over = event.at >= step_at + MAX_SPANS * span
            return self._withdraw(record, at=event.at, outcome="rolled_back", reasons=reasons) if is_over else []
        is_bad, reason = verdict(event, expected_distance=record.expected_distance)
        if is_bad:
            return self._withdraw(record, at=event.at, outcome="rolled_back", reasons=(reason,))
        return self._next_share(record, at=event.at, step=self._step + 1, reasons=(reason,))

    def _promote(self, record: TurnRecord, *, at: datetime, reasons: tuple[str, ...]) -> list[Command]:
        command = MakeChampion(turn=record.turn, version=_candidate(record), reasons=reasons)
        return [command, *self._end(replace(record, full_at=at), at=at, outcome="promoted", reasons=reasons)]

    def _withdraw(
        self, record: TurnRecord, *, at: datetime, outcome: Outcome, reasons: tuple[str, ...]
    ) -> list[Command]:
        withdrawn: list[Command] = []
        if self._step_at is not None:  # before its trial the candidate has nothing to give back
            withdrawn = [Withdraw(turn=record.turn, version=_candidate(record), reasons=reasons)]
        return withdrawn + self._end(record, at=at, outcome=outcome, reasons=reasons)

    def _end(self, record: TurnRecord, *, at: datetime, outcome: Outcome, reasons: tuple[str, ...]) -> list[Command]:
        self._last = replace(record, ended_at=at, outcome=outcome, outcome_reasons=reasons)
        self._record, self._step, self._step_at = None, 0, None
        return [Ended(record=self._last)]

    def to_json(self) -> dict[str, Any]:
        """What to store after every `handle` and `finish`; the loop's limits are in the workload."""
        return {
            "num_turns": self._num_turns,
            "record": None if self._record is None else record_to_json(self._record),
            "last": None if self._last is None else record_to_json(self._last),
            "waiting": None if self._waiting is None else ask_to_json(self._waiting),
            "step": self._step,
            "step_at": None if self._step_at is None else self._step_at.isoformat(),
            "unfinished": [command_to_json(command) for command in self._unfinished],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, loop: Loop) -> "LoopState":
        """The state that `to_json` wrote: it goes on in the same phase of the same turn."""
        state = cls(loop)
        state._num_turns = value["num_turns"]
        state._record = None if value["record"] is None else record_from_json(value["record"])
        state._last = None if value["last"] is None else record_from_json(value["last"])
        state._waiting = None if value["waiting"] is None else ask_from_json(value["waiting"])
        state._step = value["step"]
        state._step_at = None if value["step_at"] is None else datetime.fromisoformat(value["step_at"])
        state._unfinished = tuple(command_from_json(command) for command in value["unfinished"])
        return state


def _submit(record: TurnRecord) -> Submit:
    return Submit(turn=record.turn, attempt=record.attempt, as_of=record.started_at, onset_at=record.onset_at)


def _candidate(record: TurnRecord) -> int:
    assert record.candidate is not None, f"turn {record.turn} has a trial without a candidate"
    return record.candidate


def _joined(first: Asked, second: Asked) -> Asked:
    return Asked(
        at=first.at,
        reasons=_union(first.reasons, second.reasons),
        onset_at=min(first.onset_at, second.onset_at),
        detected_at=min(first.detected_at, second.detected_at),
    )


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first + second))
