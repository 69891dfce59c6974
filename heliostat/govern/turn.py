"""The loop as a state machine: reasons, runs and comparisons in, commands out; at most one turn at a time.

    idle ──Asked──▶ a turn (`course.py`) ──its end──▶ idle, and a rest

The steward saves the state after `handle`, carries out `unfinished`, calls `finish` and saves again: killed at any
point it finds what is still to be done. Every command may be carried out twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from heliostat.declared.loop import Loop
from heliostat.govern.commands import Command, Declined, Deferred, Demote, Ended, Refused, TurnRecord
from heliostat.govern.course import SHADOW, Course
from heliostat.govern.economics import worth
from heliostat.govern.events import Asked, Cancelled, Event, Matured, TrialSeen
from heliostat.govern.numbers import quality_lost
from heliostat.govern.stored import (
    ask_from_json,
    ask_to_json,
    command_from_json,
    command_to_json,
    record_from_json,
    record_to_json,
)
from heliostat.govern.trial import MIN_PAIRS, contradicted
from heliostat.govern.world import World

MAX_KEPT = 200  # turns that expectations and the budget are made from
Phase = Literal["idle", "retraining", "shadow", "canary"]


class LoopState:
    """Where the loop stands; the same events in the same order give the same commands."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._num_turns = 0
        self._course: Course | None = None
        self._turns: tuple[TurnRecord, ...] = ()
        self._waiting: Asked | None = None
        self._declined: str | None = None
        self._world = World()
        self._unfinished: tuple[Command, ...] = ()

    @property
    def phase(self) -> Phase:
        """What the loop is doing."""
        return "idle" if self._course is None else self._course.phase

    @property
    def turn(self) -> TurnRecord | None:
        """The turn that runs; None when idle."""
        return None if self._course is None else self._course.record

    @property
    def last_turn(self) -> TurnRecord | None:
        """The turn that ended last; None before the first end."""
        return self._turns[-1] if self._turns else None

    @property
    def turns(self) -> tuple[TurnRecord, ...]:
        """The turns that ended, the newest last; not all of them after very many."""
        return self._turns

    @property
    def declined(self) -> str | None:
        """Why the turn that waits does not start; None when none waits, or only for the cooldown."""
        return self._declined

    @property
    def num_turns(self) -> int:
        """How many turns were started."""
        return self._num_turns

    @property
    def world(self) -> World:
        """What the loop believes about the world."""
        return self._world

    @property
    def unfinished(self) -> tuple[Command, ...]:
        """Commands given since the last `finish`, in order: what is to be carried out, also after a restart."""
        return self._unfinished

    def on_probation(self, at: datetime) -> TurnRecord | None:
        """The turn whose promotion late labels may still undo; None without one, or while the next turn runs."""
        last = self.last_turn
        if self._course is not None or last is None or last.outcome != "promoted" or last.full_at is None:
            return None
        was_tried = last.shadow_at is not None or last.canary_at is not None
        return last if was_tried and at <= last.full_at + self._loop.probation else None

    def is_judged_by(self, event: TrialSeen) -> bool:
        """Whether labels would end a trial, a step of it, or a probation now: so they are screened before `handle`."""
        if event.paired is None or event.paired.num_rows < MIN_PAIRS:
            return False
        is_step = self._course is not None and self._course.ends_step(event.at, self._loop)
        return is_step or contradicted(event.paired) is not None

    def finish(self) -> None:
        """All commands given so far have been carried out."""
        self._unfinished = ()

    def handle(self, event: Event) -> list[Command]:
        """Take in one event and return what is to be done; events of an old turn or attempt give nothing."""
        commands = self._react(event)
        self._unfinished += tuple(commands)
        return commands

    def _react(self, event: Event) -> list[Command]:
        if isinstance(event, Asked | Matured):
            self._world, ask = self._told(event)
            return [] if ask is None else self._ask(ask)
        if isinstance(event, Cancelled):
            return self._cancel(event)
        if self._course is None:
            return self._reconsider(event) if isinstance(event, TrialSeen) else self._start_waiting(event.at)
        return self._went_on(*self._course.heard(event, self._loop))

    def _reconsider(self, event: TrialSeen) -> list[Command]:
        """Undo a promotion when the rows of its trial, as more of their labels come, speak surely against it."""
        turn = self.on_probation(event.at)
        if turn is None or turn.turn != event.turn or turn.candidate is None:
            return []
        why = contradicted(event.paired)
        if why is None:
            return []
        undone = replace(turn, outcome="rolled_back", outcome_reasons=(why,))
        self._turns = (*self._turns[:-1], undone)
        return [Demote(turn=turn.turn, version=turn.candidate, reasons=(why,))]

    def _told(self, event: Asked | Matured) -> tuple[World, Asked | None]:
        if isinstance(event, Matured):
            return self._world.matured(event.num_since_change, rows_per_day=event.rows_per_day, at=event.at)
        return self._world.heard(event, is_followed_up=self._loop.follow_ups)

    def _went_on(self, course: Course, commands: list[Command]) -> list[Command]:
        """The turn stands elsewhere, or is over."""
        if not course.is_over:
            self._course = course
            return commands
        record = course.record
        is_in_vain = record.outcome != "promoted"
        self._world = self._world.turned(
            is_in_vain=is_in_vain,
            is_moving=record.is_moving,
            is_returned=record.is_returned,
            started_at=record.started_at,
            max_rows=self._loop.max_follow_up_rows,
        )
        assert record.ended_at is not None  # set together with the outcome
        rests_until = record.ended_at + self._world.rest(self._loop.cooldown)
        lost = quality_lost(record, rows_per_day=self._world.rows_per_day)
        ended = replace(record, rests_until=rests_until, quality_lost=lost)
        self._course, self._turns = None, (*self._turns, ended)[-MAX_KEPT:]
        return [*commands, Ended(record=ended)]

    def _cancel(self, event: Cancelled) -> list[Command]:
        """End the turn that runs, or drop the ask that waits."""
        why = f"cancelled by {event.by}: {event.why}"
        if self._course is not None:
            return self._went_on(*self._course.cancelled(at=event.at, why=why))
        waiting, self._waiting, self._declined = self._waiting, None, None
        return [] if waiting is None else [Refused(reasons=waiting.reasons, why=why)]

    def _ask(self, event: Asked) -> list[Command]:
        if self._course is not None:
            # the times stay: the turn was asked for by its first reason, and its job already runs from that onset
            record = self._course.record
            folded = replace(record, reasons=_union(record.reasons, event.reasons))
            self._course = replace(self._course, record=folded)
            return []
        if self._is_spent:
            return [Refused(reasons=event.reasons, why=f"all {self._loop.max_turns} turns are used")]
        is_first = self._waiting is None
        self._waiting = event if self._waiting is None else _joined(self._waiting, event)
        started = self._start_waiting(event.at)
        if started or not is_first or self._cooldown_until is None or event.at >= self._cooldown_until:
            return started
        return [Deferred(reasons=event.reasons, until=self._cooldown_until)]

    @property
    def _is_spent(self) -> bool:
        return self._loop.max_turns is not None and self._num_turns >= self._loop.max_turns

    @property
    def _cooldown_until(self) -> datetime | None:
        last = self.last_turn
        return None if last is None or last.ended_at is None else last.ended_at + self._loop.cooldown

    def _start_waiting(self, at: datetime) -> list[Command]:
        """Start the turn that waits, unless none does, the cooldown is not over, or it is not worth its run."""
        ask, cooldown_until = self._waiting, self._cooldown_until
        if ask is None or self._is_spent or (cooldown_until is not None and at < cooldown_until):
            return []
        declined = self._decline(ask, at)
        if declined is not None:
            return declined
        self._waiting, self._declined = None, None
        self._num_turns += 1
        self._course = Course(
            record=TurnRecord(
                turn=self._num_turns,
                reasons=ask.reasons,
                onset_at=ask.onset_at,
                detected_at=ask.detected_at,
                started_at=at,
                changed_at=self._world.changed_at,
                is_in_doubt=self._world.is_in_doubt,
                gap=ask.gap,
            )
        )
        self._world = self._world.turning()
        return [self._course.submit()]

    def _decline(self, ask: Asked, at: datetime) -> list[Command] | None:
        """None when the turn is worth its run, or nobody declared what things cost; said once an ask."""
        if self._loop.economics is None:
            return None
        traffic = self._world.rows_per_day
        found = worth(self._loop.economics, self._turns, gap=ask.gap, rows_per_day=traffic, at=at)
        if found.may_start:
            return None
        is_said, self._declined = self._declined is not None, found.reason
        if is_said:
            return []
        return [
            Declined(
                reasons=ask.reasons,
                why=found.reason,
                expected_gain=found.expected_gain,
                worth=found.worth,
                cost=found.cost,
                spent=found.spent,
            )
        ]

    def to_json(self) -> dict[str, Any]:
        """What to store after every `handle` and `finish`; the loop's limits are in the workload."""
        course = self._course
        return {
            "num_turns": self._num_turns,
            "record": None if course is None else record_to_json(course.record),
            "turns": [record_to_json(turn) for turn in self._turns],
            "declined": self._declined,
            "waiting": None if self._waiting is None else ask_to_json(self._waiting),
            "step": SHADOW if course is None else course.step,
            "step_at": None if course is None or course.step_at is None else course.step_at.isoformat(),
            "world": self._world.to_json(),
            "unfinished": [command_to_json(command) for command in self._unfinished],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, loop: Loop) -> "LoopState":
        """The state that `to_json` wrote: it goes on in the same phase of the same turn."""
        state = cls(loop)
        state._num_turns = value["num_turns"]
        if value["record"] is not None:
            state._course = Course(
                record=record_from_json(value["record"]),
                step=value["step"],
                step_at=None if value["step_at"] is None else datetime.fromisoformat(value["step_at"]),
            )
        state._turns = tuple(record_from_json(turn) for turn in _turns(value))
        state._declined = value.get("declined")
        state._waiting = None if value["waiting"] is None else ask_from_json(value["waiting"])
        # States of before the loop kept what it believes go on without it.
        state._world = World.from_json(value["world"]) if "world" in value else World()
        state._unfinished = tuple(command_from_json(command) for command in value["unfinished"])
        return state


def _turns(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The turns that ended; in states of before only the last was kept."""
    if "turns" in value:
        return list(value["turns"])
    return [] if value["last"] is None else [value["last"]]


def _joined(first: Asked, second: Asked) -> Asked:
    return Asked(
        at=first.at,
        reasons=_union(first.reasons, second.reasons),
        onset_at=min(first.onset_at, second.onset_at),
        detected_at=min(first.detected_at, second.detected_at),
        gap=max((gap for gap in (first.gap, second.gap) if gap is not None), default=None),
    )


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first + second))
