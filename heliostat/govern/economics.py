"""Whether a turn is worth its run: expected gain times traffic times value, against what recent runs cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from heliostat.declared.economics import Economics
from heliostat.govern.commands import TurnRecord

NUM_RECENT = 5  # turns whose gain and cost are expected again
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a turn is expected to gain and to cost, and whether it may start; the reason is one sentence."""

    may_start: bool
    reason: str
    expected_gain: float | None
    worth: float | None
    cost: float | None
    spent: float


def worth(
    economics: Economics, turns: Sequence[TurnRecord], *, gap: float | None, rows_per_day: float | None, at: datetime
) -> Worth:
    """What a turn that starts at `at` would be worth; `turns` are those before it, the newest last.

    `gap` is by how much a row's loss exceeds what was expected (None: nothing decayed). What is not known yet stops
    no turn: before the first run nobody knows what one costs, before the first turn nobody knows what one gains. Turns
    in vain are forgotten a horizon after their end, or they would be the last for ever: nobody would find out again.
    """
    cost = _expected_cost(economics, turns)
    spent = _spent(economics, turns, cost=cost, at=at)
    gain = _expected_gain(_known(turns, at=at, horizon=economics.horizon), gap=gap)
    value = None
    if gain is not None and rows_per_day is not None:
        value = gain * rows_per_day * (economics.horizon / DAY) * economics.value_per_loss
    may_start, reason = _judged(economics, cost=cost, spent=spent, gain=gain, value=value)
    return Worth(may_start=may_start, reason=reason, expected_gain=gain, worth=value, cost=cost, spent=spent)


def _judged(
    economics: Economics, *, cost: float | None, spent: float, gain: float | None, value: float | None
) -> tuple[bool, str]:
    days = economics.budget_span / DAY
    if economics.budget is not None and spent + (cost or 0.0) > economics.budget:
        runs = "what a run costs is not known" if cost is None else f"a run costs {cost:.4g}"
        return False, f"{spent:.4g} of {economics.budget:.4g} were spent in {days:g} days, and {runs}"
    if cost is None:
        return True, "what a run costs is not known yet"
    if gain is None or value is None:
        return True, "what a turn gains is not known yet"
    told = (
        f"{gain:.4g} less loss a row is worth {value:.4g} in {economics.horizon / DAY:g} days, a run costs {cost:.4g}"
    )
    return value > cost, told


def _known(turns: Sequence[TurnRecord], *, at: datetime, horizon: timedelta) -> list[TurnRecord]:
    """The turns that say what the next one gains: those in vain only while the horizon from their end lasts."""
    return [
        turn
        for turn in turns
        if turn.outcome == "promoted" or (turn.ended_at is not None and at - turn.ended_at < horizon)
    ]


def _expected_cost(economics: Economics, turns: Sequence[TurnRecord]) -> float | None:
    """The mean of the last runs that came to their end: one that broke on the way was cheaper than the next may be."""
    known = [turn.cpu_s for turn in turns if turn.cpu_s is not None and turn.outcome != "failed"][-NUM_RECENT:]
    return sum(known) / len(known) / 3600 * economics.cost_per_cpu_hour if known else None


def _spent(economics: Economics, turns: Sequence[TurnRecord], *, cost: float | None, at: datetime) -> float:
    """What the runs of the budget's span cost; nobody measured the lost ones, and each counts as the mean run."""
    recent = [turn for turn in turns if turn.started_at > at - economics.budget_span]
    num_lost = sum(turn.attempt for turn in recent if turn.outcome == "failed" and turn.cpu_s is None)
    known = sum(turn.cpu_s or 0.0 for turn in recent) / 3600 * economics.cost_per_cpu_hour
    return known + num_lost * (cost or 0.0)


def _expected_gain(turns: Sequence[TurnRecord], *, gap: float | None) -> float | None:
    """What recent turns gained; where something decayed, the share of the gap that such turns closed."""
    turns = [turn for turn in turns if turn.outcome != "failed"]  # what broke says nothing of what a turn gains
    if gap is not None:
        closed = [(gained(turn), turn.gap) for turn in turns if turn.gap is not None and turn.gap > 0][-NUM_RECENT:]
        if not closed:
            return max(gap, 0.0)
        share = sum(gain for gain, _ in closed) / sum(known for _, known in closed)
        return max(gap, 0.0) * min(max(share, 0.0), 1.0)
    recent = [gained(turn) for turn in turns][-NUM_RECENT:]
    return max(sum(recent) / len(recent), 0.0) if recent else None


def gained(turn: TurnRecord) -> float:
    """By how much a turn lowered the loss of a row on its hold-out; nothing where it changed nothing."""
    return turn.gain if turn.outcome == "promoted" and turn.gain is not None else 0.0
