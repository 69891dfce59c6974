"""A past period again under other limits of the loop: the same state machine on what the journal kept. No retraining.

Known is what the monitor asked for and how each turn ended. What is asked for is taken as it was: a model promoted at
another time would have changed that, which nobody can know without training it. A turn that starts when one did ends as
that did; any other is assumed to end as the one nearest in time, after as long.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush

from heliostat.declared.loop import Loop
from heliostat.errors import ContractError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import Command, Ended, Outcome, Submit, TurnRecord
from heliostat.govern.course import MAX_ATTEMPTS
from heliostat.govern.events import Asked, Event, Matured, RunEnded, RunLost, Ticked
from heliostat.govern.turn import LoopState
from heliostat.govern.world import FOLLOW_UP

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What the journal kept of a period: the monitor's asks and the turns that ended, each in time order.

    `limits` are those that held then (None: those that are asked about), `labelled` the labelled rows of each matured
    cohort by its start, `until` the end of the period; all three are needed for other follow-ups.
    """

    asks: Sequence[Asked]
    turns: Sequence[TurnRecord]
    rows_per_day: float = 0.0
    limits: Loop | None = None
    labelled: Sequence[tuple[datetime, int]] = ()
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PlayedTurn:
    """One turn as it would have been; `like` is the number of the turn it ends as, `is_assumed` that it is another."""

    record: TurnRecord
    outcome: Outcome
    like: int
    is_assumed: bool


def what_if(past: Past, loop: Loop, *, ignored: Collection[str] = ()) -> list[PlayedTurn]:
    """The turns of the period under the limits of `loop`, without the asks of `ignored` triggers; in time order.

    With the limits that held then it gives the turns that were; follow-ups under other limits of theirs are counted by
    the labelled rows. ContractError when a turn would start and none ever ended, so that nothing is known of how turns
    end, or when follow-ups are to be counted and no labelled row is known.
    """
    is_counted = _are_follow_ups_counted(past, loop)
    if is_counted and not past.labelled:
        raise ContractError(
            "Other follow-ups are counted by labelled rows, and the monitor has kept none of the period; leave out "
            "follow_ups and max_follow_up_rows."
        )
    player = _Player(past, replace(loop, shadow_span=timedelta(0), canary_shares=()), is_counted=is_counted)
    for ask in [*past.asks, *(_follow_ups(past) if loop.follow_ups and not is_counted else [])]:
        kept = _without(ask, ignored)
        if kept is not None:
            player.expect(kept.at, 0, kept)
    for at in _clock(past, until=past.until if is_counted else None):
        player.expect(at, 2, Ticked(at=at))
    return player.play()


def _are_follow_ups_counted(past: Past, loop: Loop) -> bool:
    """Whether follow-ups come at other times than they did, so that those of the journal say nothing."""
    limits = past.limits
    if limits is None or not loop.follow_ups:
        return False
    return (loop.follow_ups, loop.max_follow_up_rows) != (limits.follow_ups, limits.max_follow_up_rows)


class _Player:
    """Events in time order; asks come before ends of turns, those before the clock, as for the steward."""

    def __init__(self, past: Past, loop: Loop, *, is_counted: bool) -> None:
        self._past, self._loop, self._state = past, loop, LoopState(loop)
        self._is_counted = is_counted
        self._queue: list[tuple[datetime, int, int, Event]] = []
        self._num_expected = 0
        self._like: dict[int, tuple[TurnRecord, bool]] = {}
        self._played: list[PlayedTurn] = []

    def expect(self, at: datetime, rank: int, event: Event) -> None:
        self._num_expected += 1
        heappush(self._queue, (at, rank, self._num_expected, event))

    def play(self) -> list[PlayedTurn]:
        while self._queue:
            at, rank, _, event = heappop(self._queue)
            if self._is_counted or (rank == 0 and self._past.rows_per_day):
                self._carry_out(self._state.handle(self._matured(at)), at)
            self._carry_out(self._state.handle(event), at)
            self._state.finish()
        return self._played

    def _carry_out(self, commands: Iterable[Command], at: datetime) -> None:
        for command in commands:
            if isinstance(command, Submit) and command.attempt == 1:
                self._submit(command, at)
            if isinstance(command, Ended):
                like, is_assumed = self._like[command.record.turn]
                outcome = like.outcome or "failed"
                played = PlayedTurn(record=command.record, outcome=outcome, like=like.turn, is_assumed=is_assumed)
                self._played.append(played)

    def _matured(self, at: datetime) -> Matured:
        """The traffic, and where they are counted the labelled rows of cohorts since the change that are over."""
        num_rows, changed_at = 0, self._state.world.changed_at
        if self._is_counted and changed_at is not None:
            until = at - self._loop.window
            num_rows = sum(number for since, number in self._past.labelled if changed_at <= since <= until)
        return Matured(at=at, num_since_change=num_rows, rows_per_day=self._past.rows_per_day or None)

    def _submit(self, command: Submit, at: datetime) -> None:
        if not self._past.turns:
            raise ContractError("No turn ended in that period, so how one would end is not known; give a longer one.")
        like = min(self._past.turns, key=lambda turn: (abs(turn.started_at - at), turn.turn))
        self._like[command.turn] = like, like.started_at != at
        for event in _end(like, command, at):
            self.expect(event.at, 1, event)


def _end(like: TurnRecord, command: Submit, at: datetime) -> list[RunEnded | RunLost]:
    """How the turn that was submitted ends, by the one that it is like."""
    assert like.ended_at is not None  # only turns that ended are in the journal
    ended_at = at + (like.ended_at - like.started_at)
    is_failed = like.outcome == "failed"
    if is_failed and like.num_fits is None:  # no run of it ever told anything
        why = "; ".join(like.outcome_reasons)
        attempts = range(1, MAX_ATTEMPTS + 1)
        return [RunLost(at=ended_at, turn=command.turn, attempt=attempt, why=why) for attempt in attempts]
    kind = Promote if like.outcome == "promoted" else Hold
    return [
        RunEnded(
            at=ended_at,
            turn=command.turn,
            attempt=command.attempt,
            candidate=like.candidate or 0,
            verdict=kind(like.outcome_reasons),
            is_moving=like.is_moving,
            is_returned=like.is_returned,
            is_failed=is_failed,
            gain=like.gain,
            num_labels=like.num_labels,
            num_fits=like.num_fits,
            cpu_s=like.cpu_s,
        )
    ]


def _follow_ups(past: Past) -> list[Asked]:
    """Asks that the loop made itself: reasons of a turn that no monitor gave."""
    given = {reason for ask in past.asks for reason in ask.reasons}
    found: list[Asked] = []
    for turn in past.turns:
        own = tuple(reason for reason in turn.reasons if reason not in given)
        if own:
            asked_at = turn.detected_at if turn.reasons[0] in own else turn.started_at
            found.append(
                Asked(
                    at=asked_at,
                    reasons=own,
                    triggers=(FOLLOW_UP,) * len(own),
                    onset_at=turn.onset_at,
                    detected_at=turn.detected_at,
                )
            )
    return found


def _without(ask: Asked, ignored: Collection[str]) -> Asked | None:
    """The ask without the reasons of ignored triggers; None when nothing is left."""
    if not ask.triggers or not ignored:
        return ask
    kept = [one for one in zip(ask.reasons, ask.triggers, strict=True) if one[1] not in ignored]
    reasons, triggers = tuple(reason for reason, _ in kept), tuple(trigger for _, trigger in kept)
    return replace(ask, reasons=reasons, triggers=triggers) if kept else None


def _clock(past: Past, *, until: datetime | None) -> Iterable[datetime]:
    """Instants at which the loop looked, as far as they are known, and the ends of all days between, or to the end."""
    known = {ask.at for ask in past.asks} | {turn.started_at for turn in past.turns}
    known |= {turn.ended_at for turn in past.turns if turn.ended_at is not None}
    if not known:
        return []
    first = min(known).replace(hour=0, minute=0, second=0, microsecond=0)
    num_days = max((max(known) - first) // DAY + 1, 0 if until is None else (until - first) // DAY)
    return sorted(known | {first + DAY * (day + 1) for day in range(num_days)})
