"""The course of one turn: what its run and its trial say, and what follows.

retraining ──RunEnded(Promote)──▶ shadow ──▶ canary, step by step ──▶ promoted
│ RunEnded(Hold): held          │           │
│ fits that broke, or RunLost   │
│ three times: failed           │ errors, too slow, far off, clearly worse: rolled_back
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from heliostat.declared.loop import Loop
from heliostat.gates import Promote
from heliostat.govern.commands import Command, MakeChampion, Outcome, Route, Stop, Submit, TurnRecord, Withdraw
from heliostat.govern.events import Event, RunEnded, RunLost, TrialSeen
from heliostat.govern.trial import MIN_SCORED, fault, verdict

MAX_ATTEMPTS = 3
MAX_SPANS = 10  # that a step of a trial lasts when nobody asks
SHADOW = -1  # the step before the first share of traffic
Phase = Literal["retraining", "shadow", "canary"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """One turn and where it stands; the record of a turn that is over has an outcome.

    `step_at` is when the step of its trial began; None while it retrains.
    """

    record: TurnRecord
    step: int = SHADOW
    step_at: datetime | None = None

    @property
    def phase(self) -> Phase:
        """What the turn is doing."""
        if self.step_at is None:
            return "retraining"
        return "shadow" if self.step == SHADOW else "canary"

    @property
    def is_over(self) -> bool:
        """Whether the turn has ended."""
        return self.record.outcome is not None

    def ends_step(self, at: datetime, loop: Loop) -> bool:
        """Whether a step of its trial has lasted long enough by then to be judged."""
        span = loop.shadow_span if self.step == SHADOW else loop.canary_span
        return self.step_at is not None and at >= self.step_at + span

    def submit(self) -> Submit:
        """The job of the present attempt: every attempt is asked for the same."""
        record = self.record
        return Submit(
            turn=record.turn,
            attempt=record.attempt,
            as_of=record.started_at,
            onset_at=record.changed_at,
            is_in_doubt=record.is_in_doubt,
        )

    def heard(self, event: Event, loop: Loop) -> tuple["Course", list[Command]]:
        """The course after an event and what is to be done; what is about another turn or attempt changes nothing."""
        if isinstance(event, RunEnded | RunLost):
            if self.phase != "retraining" or (event.turn, event.attempt) != (self.record.turn, self.record.attempt):
                return self, []
            return self._judge_run(event, loop) if isinstance(event, RunEnded) else self._retry(event)
        if isinstance(event, TrialSeen) and self.step_at is not None and event.turn == self.record.turn:
            return self._judge_trial(event, loop, step_at=self.step_at)
        return self, []

    def cancelled(self, *, at: datetime, why: str) -> tuple["Course", list[Command]]:
        """A person ends the turn: its job is stopped, its candidate withdrawn."""
        stop = Stop(turn=self.record.turn, attempt=self.record.attempt)
        stopped: list[Command] = [stop] if self.phase == "retraining" else []
        course, commands = self._withdraw(at=at, outcome="held", reasons=(why,))
        return course, stopped + commands

    def _retry(self, event: RunLost) -> tuple["Course", list[Command]]:
        if self.record.attempt >= MAX_ATTEMPTS:
            reasons = (f"attempt {event.attempt} of {MAX_ATTEMPTS} was lost: {event.why}",)
            return self._ended(at=event.at, outcome="failed", reasons=reasons), []
        again = replace(self, record=replace(self.record, attempt=self.record.attempt + 1))
        return again, [again.submit()]

    def _judge_run(self, event: RunEnded, loop: Loop) -> tuple["Course", list[Command]]:
        judged = replace(
            self,
            record=replace(
                self.record,
                retrained_at=event.retrained_at or event.at,
                gated_at=event.at,
                candidate=event.candidate,
                expected_distance=event.distance,
                expected_estimate=event.estimate,
                is_moving=event.is_moving,
                gain=event.gain,
                num_labels=event.num_labels,
                num_fits=event.num_fits,
                cpu_s=event.cpu_s,
                is_returned=event.is_returned,
            ),
        )
        if event.is_failed:
            return judged._ended(at=event.at, outcome="failed", reasons=event.verdict.reasons), []
        if not isinstance(event.verdict, Promote):
            return judged._ended(at=event.at, outcome="held", reasons=event.verdict.reasons), []
        if event.candidate is None:
            reasons = ("the run says promote but registered no version",)
            return judged._ended(at=event.at, outcome="failed", reasons=reasons), []
        if loop.shadow_span:
            shadowed = replace(judged, record=replace(judged.record, shadow_at=event.at))
            return shadowed._routed(loop, at=event.at, step=SHADOW)
        return judged._next_share(loop, at=event.at, step=0, reasons=event.verdict.reasons)

    def _judge_trial(self, event: TrialSeen, loop: Loop, *, step_at: datetime) -> tuple["Course", list[Command]]:
        """A fault ends the trial at once; losses and answers are judged once a step, at its end."""
        why = fault(event, loop)
        if why is not None:
            return self._withdraw(at=event.at, outcome="rolled_back", reasons=(why,))
        if not self.ends_step(event.at, loop):
            return self, []
        span = loop.shadow_span if self.step == SHADOW else loop.canary_span
        if event.num_scored < MIN_SCORED:
            # A candidate that scores nothing (no replica could load it, or nobody asks) is not promoted for it.
            reasons = (f"the candidate scored {event.num_scored} live rows in {MAX_SPANS} spans",)
            is_over = event.at >= step_at + MAX_SPANS * span
            return self._withdraw(at=event.at, outcome="rolled_back", reasons=reasons) if is_over else (self, [])
        is_bad, reason = verdict(event, loop, turn=self.record)
        if is_bad:
            return self._withdraw(at=event.at, outcome="rolled_back", reasons=(reason,))
        return self._next_share(loop, at=event.at, step=self.step + 1, reasons=(reason,))

    def _next_share(
        self, loop: Loop, *, at: datetime, step: int, reasons: tuple[str, ...]
    ) -> tuple["Course", list[Command]]:
        """The share of that canary step, or all traffic after the last."""
        if step >= len(loop.canary_shares):
            full = replace(self, record=replace(self.record, full_at=at))
            command = MakeChampion(turn=self.record.turn, version=self._candidate, reasons=reasons)
            return full._ended(at=at, outcome="promoted", reasons=reasons), [command]
        begun = replace(self, record=replace(self.record, canary_at=self.record.canary_at or at))
        return begun._routed(loop, at=at, step=step)

    def _routed(self, loop: Loop, *, at: datetime, step: int) -> tuple["Course", list[Command]]:
        share = 0.0 if step == SHADOW else loop.canary_shares[step]
        route = Route(turn=self.record.turn, version=self._candidate, share=share)
        return replace(self, step=step, step_at=at), [route]

    def _withdraw(self, *, at: datetime, outcome: Outcome, reasons: tuple[str, ...]) -> tuple["Course", list[Command]]:
        withdrawn: list[Command] = []
        if self.step_at is not None:  # before its trial the candidate has nothing to give back
            withdrawn = [Withdraw(turn=self.record.turn, version=self._candidate, reasons=reasons)]
        return self._ended(at=at, outcome=outcome, reasons=reasons), withdrawn

    def _ended(self, *, at: datetime, outcome: Outcome, reasons: tuple[str, ...]) -> "Course":
        return replace(self, record=replace(self.record, ended_at=at, outcome=outcome, outcome_reasons=reasons))

    @property
    def _candidate(self) -> int:
        assert self.record.candidate is not None, f"turn {self.record.turn} has a trial without a candidate"
        return self.record.candidate
