"""Plays one policy over a stream: every step is answered by the champion first, and only then learned from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heliostat.gates import Promote
from heliostat.simulate.judged import Champion
from heliostat.simulate.stream import Stream
from heliostat.simulate.turns import Trainer

Values = NDArray[np.float64]
Clock = Callable[[], float]
Tell = Callable[[str], None]
AHEAD_STEPS = 8  # are answered together: asking for few rows costs as much; a new champion answers them again


def no_clock() -> float:
    """Stands for a clock where nobody asks what a turn costs."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class TurnNote:
    """One turn for people: at which row, why, and what came of it."""

    row: int
    reason: str
    outcome: str
    onset_row: int | None = None


@dataclass(kw_only=True)
class Account:
    """What a policy has cost so far; the first fit, which all share, and the answering are not in it.

    `num_labels` counts the rows that some fit learned from or was judged on, `num_watched` those that the monitor read.
    """

    num_turns: int = 0
    num_fits: int = 0
    num_promotions: int = 0
    num_labels: int = 0
    num_watched: int = 0
    cpu_s: float = 0.0
    turns: list[TurnNote] = field(default_factory=list)
    alarms: list[TurnNote] = field(default_factory=list)
    declined: list[TurnNote] = field(default_factory=list)


class Turning(Protocol):
    """A policy: who answers from the next step on."""

    account: Account

    def after_step(self, step: int, champion: Champion, answers: Values) -> Champion:
        """Take in a step that was just answered; the champion of the next one."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """The answers to every row after the first part, and what they cost."""

    answers: Values
    account: Account


def play(stream: Stream, first: Champion, policy: Turning, *, clock: Clock, tell: Tell) -> Played:
    """Answer every row after the first part; `clock` gives CPU-seconds, `tell` is given the progress."""
    begin = stream.first_rows
    answers = np.empty((stream.num_rows - begin, *stream.task.shape))
    champion, answered = first, begin
    policy.account.num_labels = first.num_rows
    for step in range(stream.first_step + 1, stream.num_steps + 1):
        since, until = stream.rows_at(step - 1), stream.rows_at(step)
        if answered < until:
            answered = stream.rows_at(min(step + AHEAD_STEPS, stream.num_steps))
            answers[since - begin : answered - begin] = champion.model.answers(stream.slice(since, answered))
        started_s = clock()
        if step < stream.num_steps:  # after the last row nobody asks any more
            next_champion = policy.after_step(step, champion, answers[since - begin : until - begin])
            answered = answered if next_champion is champion else until
            champion = next_champion
        policy.account.cpu_s += clock() - started_s
        tell(f"{until:,} of {stream.num_rows:,} rows, {policy.account.num_turns} turns")
    return Played(answers=answers, account=policy.account)


class Never:
    """The first champion for ever."""

    def __init__(self) -> None:
        self.account = Account()

    def after_step(self, step: int, champion: Champion, answers: Values) -> Champion:
        """Nothing changes."""
        return champion


class Scheduled:
    """A fit on all usable rows, or on the recent ones, at fixed distances, put in place without looking: a calendar."""

    def __init__(self, stream: Stream, trainer: Trainer, *, share: float, is_recent: bool) -> None:
        self.account = Account()
        self._stream, self._trainer, self._is_recent = stream, trainer, is_recent
        self._steps = evenly(stream, max(1, round(share * stream.num_steps)))

    def after_step(self, step: int, champion: Champion, answers: Values) -> Champion:
        """Another champion when it is time."""
        if step not in self._steps:
            return champion
        fitted = self._trainer.fit_unjudged(step, number=champion.number + 1, is_recent=self._is_recent)
        self.account.num_turns += 1
        self.account.num_fits += 1
        self.account.num_promotions += 1
        self.account.num_labels = max(self.account.num_labels, fitted.num_rows)
        note = TurnNote(row=self._stream.rows_at(step), reason="it is time", outcome="put in place")
        self.account.turns.append(note)
        return fitted


class Even:
    """As many turns as the loop took, at even distances: the same candidates and gates, without its watching."""

    def __init__(self, stream: Stream, trainer: Trainer, *, num_turns: int) -> None:
        self.account = Account()
        self._stream, self._trainer = stream, trainer
        places = np.linspace(stream.first_step, stream.num_steps, num_turns + 2)[1:-1]
        self._steps: Sequence[int] = [round(place) for place in places.tolist()]

    def after_step(self, step: int, champion: Champion, answers: Values) -> Champion:
        """A turn when it is time; no change is known, so the recent rows are tried."""
        for _ in range(self._steps.count(step)):
            champion = self._turn(step, champion)
        return champion

    def _turn(self, step: int, champion: Champion) -> Champion:
        found = self._trainer.turn(step, champion)
        is_promoted = isinstance(found.verdict, Promote)
        self.account.num_turns += 1
        self.account.num_fits += found.num_fits
        self.account.num_promotions += is_promoted
        self.account.num_labels = max(self.account.num_labels, found.num_labels)
        outcome = "promoted" if is_promoted else "held"
        self.account.turns.append(TurnNote(row=self._stream.rows_at(step), reason="even distances", outcome=outcome))
        return champion if found.champion is None else found.champion


def evenly(stream: Stream, distance: int) -> frozenset[int]:
    """Every `distance` steps after the first part."""
    return frozenset(range(stream.first_step + distance, stream.num_steps, distance))
