"""The loop on a stream: the live monitor and the live loop's state machines, with a turn that takes no time."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from heliostat.gates import Promote
from heliostat.govern.commands import Command, Declined, Ended, MakeChampion, Submit
from heliostat.govern.events import Asked, Matured, RunEnded, Ticked
from heliostat.govern.turn import LoopState
from heliostat.simulate.judged import Champion, TurnResult
from heliostat.simulate.play import Account, Clock, TurnNote, no_clock
from heliostat.simulate.policy import Policy
from heliostat.simulate.stream import Stream, instant, step_of
from heliostat.simulate.turns import Trainer
from heliostat.simulate.watching import Watched, changed
from heliostat.watch.events import Alert, Decision, Event, Retrain, Tick, TurnEnded
from heliostat.watch.monitor import MonitorState

INSTANT = re.compile(r"\b\d{4}-\d\d-\d\d(T[\d:]+\+00:00)?")
ONE_SIDED = "labels that come late differ from those that come soon, and how long they take is not known yet"
Values = NDArray[np.float64]


class Loop:
    """The policy that watches, and turns when there is a reason; the same stream gives the same turns."""

    def __init__(self, stream: Stream, trainer: Trainer, policy: Policy, *, clock: Clock = no_clock) -> None:
        self.account = Account()
        self._clock = clock
        self._stream, self._trainer = stream, trainer
        self._monitor, self._warner = MonitorState(policy.triggers), MonitorState(policy.warnings)
        self._loop, self._max_archived = LoopState(policy.loop), policy.loop.max_archived
        self._margin, self._min_rows = policy.decay_margin, policy.min_holdout_rows
        self._watched: Watched | None = None
        self._archive: list[Champion] = []
        self._rests_until: datetime | None = None
        self._found: TurnResult | None = None
        self._is_in_vain = False

    def after_step(self, step: int, champion: Champion, answers: Values) -> Champion:
        """Watch the step, and carry out what the loop decides.

        Where fewer rows are left than nobody is judged on, nothing is fitted for them any more.
        """
        if self._stream.num_rows - self._stream.rows_at(step) < self._min_rows:
            return champion
        watched = self._begun(champion)
        if self._rests_until is not None and instant(step) > self._rests_until:
            self._rests_until = None
            self._monitor.handle(TurnEnded(at=instant(step), is_in_vain=self._is_in_vain))
        windows = watched.answered(step, champion, answers)
        cohort = watched.matured(step)
        if cohort is not None:
            self.account.num_watched += sum(score.num_labelled for score in cohort.score_by_version.values())
        for window in windows:
            self._warn(self._warner.handle(window), step=step)
        seen: list[Event] = [*windows, *([] if cohort is None else [cohort]), Tick(at=instant(step))]
        for event in seen:
            self._decide(self._put_off(self._monitor.handle(event), step=step), step=step)
        num_since, rows_per_day = self._num_since_change(step), float(self._stream.step_rows)
        self._loop.handle(Matured(at=instant(step), num_since_change=num_since, rows_per_day=rows_per_day))
        self._loop.handle(Ticked(at=instant(step)))
        return self._turned(step, champion)

    def _begun(self, champion: Champion) -> Watched:
        """The watching, started with the first champion and what a twin without the newest rows scored on them."""
        if self._watched is None:
            first_step = self._stream.first_step
            self._watched = Watched(self._stream, champion)
            judged = self._first = self._trainer.referred(champion, first_step)
            self.account.num_fits += judged.reference is not None
            event = changed(judged, step=first_step, num_known=champion.num_rows, task=self._stream.task)
            self._warn(self._monitor.handle(event) + self._warner.handle(event), step=first_step)
        return self._watched

    def _put_off(self, decisions: Sequence[Decision], *, step: int) -> Sequence[Decision]:
        """What is left to decide: no turn while the labels that are known are one-sided; it is asked for again then."""
        asks = [one for one in decisions if isinstance(one, Retrain)]
        if not asks or not self._stream.is_one_sided(step):
            return decisions
        self._monitor.handle(TurnEnded(at=instant(step)))
        if not self.account.declined:
            reason = self._told("; ".join(asks[0].reasons).replace(" days", " steps"))
            self.account.declined.append(self._note(step, reason, outcome=f"declined: {ONE_SIDED}"))
        return [one for one in decisions if not isinstance(one, Retrain)]

    def _decide(self, decisions: Sequence[Decision], *, step: int) -> None:
        self._warn([one for one in decisions if isinstance(one, Alert)], step=step)
        for one in decisions:
            if isinstance(one, Retrain):
                self._hear(one, step=step)

    def _hear(self, ask: Retrain, *, step: int) -> None:
        triggers = tuple(str(condition["trigger"]) for condition in ask.evidence["conditions"])
        reasons = tuple(self._told(reason.replace(" days", " steps")) for reason in ask.reasons)
        loss = str(self._stream.task.loss)
        gaps = [one["excess"] for one in ask.evidence["conditions"] if one.get("metric") == loss]
        self._loop.handle(
            Asked(
                at=instant(step),
                reasons=reasons,
                triggers=triggers,
                onset_at=ask.onset_at,
                detected_at=ask.detected_at,
                gap=max(gaps, default=None) if "decay" in triggers else None,
            )
        )
        decays = [reason for trigger, reason in zip(triggers, reasons, strict=True) if trigger == "decay"]
        if decays:
            self._alarm(step, decays[0], onset_row=self._change_row)

    @property
    def _change_row(self) -> int | None:
        """The first row that fell due after the change that the loop believes in."""
        changed_at = self._loop.world.changed_at
        return None if changed_at is None else int(self._stream.due_rows[step_of(changed_at)])

    def _num_since_change(self, step: int) -> int:
        change_row = self._change_row
        return 0 if change_row is None else int((self._stream.usable(step) >= change_row).sum())

    def _turned(self, step: int, champion: Champion) -> Champion:
        """Carry out what is to be done until nothing is; the champion after it."""
        while self._loop.unfinished:
            waiting = self._loop.unfinished
            self._loop.finish()
            for command in waiting:
                champion = self._carry_out(command, step, champion)
        return champion

    def _carry_out(self, command: Command, step: int, champion: Champion) -> Champion:
        match command:
            case Submit():
                self._run(command, step, champion)
            case MakeChampion():
                return self._put_in_place(step, champion)
            case Ended():
                self._end(command, step)
            case Declined():
                note = self._note(step, "; ".join(command.reasons), outcome=f"declined: {command.why}")
                self.account.declined.append(note)
        return champion

    def _run(self, command: Submit, step: int, champion: Champion) -> None:
        started_s = self._clock()
        found = self._trainer.turn(
            step,
            champion,
            change_row=self._change_row,
            is_in_doubt=command.is_in_doubt,
            archive=self._archive,
        )
        self._found = found
        self.account.num_turns += 1
        self.account.num_fits += found.num_fits
        self.account.num_promotions += isinstance(found.verdict, Promote)
        self.account.num_labels = max(self.account.num_labels, found.num_labels)
        self._loop.handle(
            RunEnded(
                at=instant(step),
                turn=command.turn,
                attempt=command.attempt,
                candidate=None if found.champion is None else found.champion.number,
                verdict=found.verdict,
                is_moving=found.sure_gain > self._margin,
                gain=found.gain,
                num_labels=found.num_labels,
                num_fits=found.num_fits,
                cpu_s=self._clock() - started_s,
                is_returned=found.is_returned,
            )
        )

    def _put_in_place(self, step: int, champion: Champion) -> Champion:
        assert self._found is not None  # the loop promotes only what a run gave
        assert self._found.champion is not None
        assert self._watched is not None
        fitted, has_won = self._found.champion, self._found.sure_gain > 0
        left = self._first if champion.number == self._first.number else champion
        self._archive = [one for one in [left, *self._archive] if one.reference is not None][: self._max_archived]
        event = self._watched.change(fitted, step=step, has_won=has_won)
        self._warn(self._monitor.handle(event) + self._warner.handle(event), step=step)
        return fitted

    def _end(self, ended: Ended, step: int) -> None:
        record = ended.record
        self._rests_until, self._is_in_vain = record.rests_until, record.outcome != "promoted"
        outcome = f"{record.outcome}: {'; '.join(record.outcome_reasons)}"
        self.account.turns.append(self._note(step, "; ".join(record.reasons), outcome=outcome))

    def _note(self, step: int, reason: str, *, outcome: str) -> TurnNote:
        row = self._stream.rows_at(step)
        return TurnNote(row=row, reason=reason, outcome=outcome, onset_row=self._change_row)

    def _warn(self, decisions: Sequence[Decision], *, step: int) -> None:
        for decision in decisions:
            reason = decision.reason if isinstance(decision, Alert) else "; ".join(decision.reasons)
            self._alarm(step, self._told(reason))

    def _told(self, reason: str) -> str:
        """The reason with rows for the instants of the clock: nobody outside knows that clock."""
        return INSTANT.sub(lambda found: self._row_name(found[0]), reason)

    def _row_name(self, text: str) -> str:
        at = datetime.fromisoformat(text)
        return f"row {self._stream.rows_at(step_of(at if at.tzinfo else at.replace(tzinfo=UTC))):,}"

    def _alarm(self, step: int, reason: str, *, onset_row: int | None = None) -> None:
        note = TurnNote(row=self._stream.rows_at(step), reason=reason, outcome="alarm", onset_row=onset_row)
        if note not in self.account.alarms[-1:]:  # two triggers may say the same
            self.account.alarms.append(note)
