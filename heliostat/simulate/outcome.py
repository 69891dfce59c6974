"""What every policy was worth on the same rows: scores, how sure they are, and whether the loop would pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import block_bootstrap
from heliostat.metrics import auc, log_loss, log_losses
from heliostat.simulate.play import Account, Played
from heliostat.simulate.stream import Stream

Values = NDArray[np.float64]
NUM_BLOCKS = 50
NUM_DECILES = 10
LEAST_GAIN = 0.01  # a point of accuracy: where the best schedule gains less there is little to share
WORTHWHILE = 0.005  # in accuracy or log loss: less would hardly be noticed
NEVER, LOOP, EVEN = "never", "loop", "even"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95% interval over blocks of rows near in time."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One policy on all rows after the first part that have a label; deciles are tenths of those rows in order."""

    accuracy: Interval
    log_loss: Interval
    auc: float
    decile_accuracy: tuple[float, ...]
    decile_log_loss: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All policies; differences are of accuracy (above zero: better) and log loss (below zero: better)."""

    num_rows: int
    num_scored: int
    label_rate: float
    scores: Mapping[str, Scores]
    accounts: Mapping[str, Account]
    best_schedule: str
    loop_less_never: Mapping[str, Interval]
    loop_less_even: Mapping[str, Interval]
    loop_less_best: Mapping[str, Interval]

    @property
    def best_gain(self) -> float:
        """Points of accuracy (as a share) that the best schedule gains over never learning again."""
        return self.scores[self.best_schedule].accuracy.mean - self.scores[NEVER].accuracy.mean

    @property
    def gain_share(self) -> float | None:
        """The loop's gain in accuracy as a share of the best schedule's; None where that gains nothing to share."""
        if self.best_gain <= 1e-9:
            return None
        return self.loop_less_never["accuracy"].mean / self.best_gain

    @property
    def gain_share_log_loss(self) -> float | None:
        """The same in log loss, against the schedule with the lowest."""
        best = min(one.log_loss.mean for name, one in self.scores.items() if name.startswith("schedule_"))
        gain = self.scores[NEVER].log_loss.mean - best
        return None if gain <= 1e-9 else -self.loop_less_never["log_loss"].mean / gain


def outcome(stream: Stream, played: Mapping[str, Played]) -> Outcome:
    """Every policy scored on the rows after the first part; the labels of all of them are used, also late ones."""
    labels = stream.labels[stream.first_rows :]
    is_scored = np.isfinite(labels)
    scored = labels[is_scored]
    answers = {name: one.answers[is_scored] for name, one in played.items()}
    scores = {name: _scores(scored, found) for name, found in answers.items()}
    schedules = [name for name in played if name.startswith("schedule_")]
    best = max(schedules, key=lambda name: (scores[name].accuracy.mean, -scores[name].log_loss.mean))
    return Outcome(
        num_rows=stream.num_rows,
        num_scored=len(scored),
        label_rate=float(scored.mean()),
        scores=scores,
        accounts={name: one.account for name, one in played.items()},
        best_schedule=best,
        loop_less_never=_less(scored, answers[LOOP], answers[NEVER]),
        loop_less_even=_less(scored, answers[LOOP], answers[EVEN]),
        loop_less_best=_less(scored, answers[LOOP], answers[best]),
    )


def is_right(labels: Values, answers: Values) -> Values:
    """1 where the answer lies on the label's side of one half, else 0."""
    return np.asarray((answers > 0.5) == (labels > 0.5), np.float64)


def _scores(labels: Values, answers: Values) -> Scores:
    right, losses = is_right(labels, answers), log_losses(labels, answers)
    return Scores(
        accuracy=_interval(right),
        log_loss=_interval(losses),
        auc=auc(labels, answers),
        decile_accuracy=_means(right),
        decile_log_loss=_means(losses),
    )


def _less(labels: Values, one: Values, other: Values) -> dict[str, Interval]:
    return {
        "accuracy": _interval(is_right(labels, one) - is_right(labels, other)),
        log_loss.name: _interval(log_losses(labels, one) - log_losses(labels, other)),
    }


def _interval(values: Values) -> Interval:
    mean, low, high = block_bootstrap(values, np.arange(len(values)) * NUM_BLOCKS // max(len(values), 1))
    return Interval(mean=mean, low=low, high=high)


def _means(values: Values) -> tuple[float, ...]:
    return tuple(float(part.mean()) for part in np.array_split(values, NUM_DECILES) if len(part))


def verdict(found: Outcome) -> Sequence[str]:
    """Whether the loop would pay on this table, and why, in sentences."""
    return [_pays(found), *_against_even(found), *_against_schedule(found)]


def _pays(found: Outcome) -> str:
    loss, points = found.loop_less_never["log_loss"], found.loop_less_never["accuracy"]
    numbers = f"log loss {_signed(loss)}, accuracy {_signed(points)} against never learning again"
    if loss.low > 0 or points.high < 0:
        return f"No: the loop made the answers worse here ({numbers}). Do not run it on this table as it is."
    is_sure = loss.high < 0 or points.low > 0
    if is_sure and max(points.mean, -loss.mean) < WORTHWHILE:
        return f"Hardly: the loop's gain is real but too small to run anything for ({numbers})."
    if is_sure:
        turns = found.accounts[LOOP].num_turns
        return f"Yes: learning again by the loop pays here ({numbers}; {turns} turns)."
    if found.best_gain < LEAST_GAIN:
        return (
            f"No: learning again pays nobody here; the best schedule gains {found.best_gain * 100:+.1f} points of "
            f"accuracy over never, and the loop is level with never ({numbers})."
        )
    return f"No: the loop's gain cannot be told from chance here ({numbers})."


def _against_even(found: Outcome) -> list[str]:
    if not found.accounts[LOOP].num_turns:
        return []
    loss = found.loop_less_even["log_loss"]
    if loss.high < 0:
        return [f"When to turn mattered: as many turns at even distances do worse (log loss {_signed(loss)})."]
    if loss.low > 0:
        return [f"The watching did not help: as many turns at even distances do better (log loss {_signed(loss)})."]
    return [f"The watching made no sure difference: as many turns at even distances are level ({_signed(loss)})."]


def _against_schedule(found: Outcome) -> list[str]:
    best, loop = found.accounts[found.best_schedule], found.accounts[LOOP]
    cost = (
        f"{loop.num_turns} turns and {loop.cpu_s:.1f} CPU-seconds against {best.num_turns} and {best.cpu_s:.1f} "
        f"of {found.best_schedule}"
    )
    loss = found.loop_less_best["log_loss"]
    if found.best_gain < LEAST_GAIN:
        return [f"It took {cost}."]
    level = "worse" if loss.low > 0 else "better" if loss.high < 0 else "level"
    share = found.gain_share or 0.0
    won = f"It has {share:.0%} of the best schedule's gain in accuracy"
    sentence = f"{won} ({level} in log loss, {_signed(loss)}), for {cost}."
    if level == "worse":
        costs_less = loop.cpu_s > best.cpu_s
        sentence += " That schedule answers better" + (" and costs less: take it." if costs_less else ".")
    return [sentence]


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"
