"""What every policy was worth on the same rows: scores, how sure they are, and whether the loop would pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import block_bootstrap
from heliostat.metrics import auc, log_loss
from heliostat.simulate.play import Account, Played
from heliostat.simulate.stream import Stream
from heliostat.tasks import Task, repeated

Values = NDArray[np.float64]
NUM_BLOCKS = 50
NUM_DECILES = 10
LEAST_GAIN = 0.01  # a point of the score: where the best schedule gains less there is little to share
WORTHWHILE = 0.005  # of the score, or of what the best constant answer loses: less would hardly be noticed
NOTICED = 0.0005  # in the same units: less is not called worse
LARGE = 10.0
NEVER, LOOP, EVEN = "never", "loop", "even"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95% interval over blocks of rows near in time."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One policy on all rows after the first part that have a label; deciles are tenths of those rows in order.

    `score` and `loss` are the task's (accuracy and log loss, or R2 and squared error); `auc` is of two classes.
    """

    score: Interval
    loss: Interval
    auc: float | None
    decile_score: tuple[float, ...]
    decile_loss: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All policies; differences are of the score (above zero: better) and the loss (below zero: better)."""

    num_rows: int
    num_scored: int
    task: Task
    label_mean: float
    constant_loss: float
    scores: Mapping[str, Scores]
    accounts: Mapping[str, Account]
    best_schedule: str
    loop_less_never: Mapping[str, Interval]
    loop_less_even: Mapping[str, Interval]
    loop_less_best: Mapping[str, Interval]

    @property
    def loss_unit(self) -> float:
        """What makes losses of any label comparable: a nat, or the labels' variance."""
        return 1.0 if self.task.loss is log_loss else self.constant_loss

    @property
    def best_gain(self) -> float:
        """Points of the score (as a share) that the best schedule gains over never learning again."""
        return self.scores[self.best_schedule].score.mean - self.scores[NEVER].score.mean

    @property
    def gain_share(self) -> float | None:
        """The loop's gain in score as a share of the best schedule's; None where that gains nothing to share."""
        if self.best_gain <= 1e-9:
            return None
        return self.loop_less_never["score"].mean / self.best_gain

    @property
    def gain_share_loss(self) -> float | None:
        """The same in loss, against the schedule with the lowest."""
        best = min(one.loss.mean for name, one in self.scores.items() if name.startswith("schedule_"))
        gain = self.scores[NEVER].loss.mean - best
        return None if gain <= 1e-9 else -self.loop_less_never["loss"].mean / gain


def outcome(stream: Stream, played: Mapping[str, Played]) -> Outcome:
    """Every policy scored on the rows after the first part; the labels of all of them are used, also late ones."""
    labels = stream.labels[stream.first_rows :]
    is_scored = np.isfinite(labels)
    scored = labels[is_scored]
    answers = {name: one.answers[is_scored] for name, one in played.items()}
    task = stream.task
    scores = {name: _scores(task, scored, found) for name, found in answers.items()}
    schedules = [name for name in played if name.startswith("schedule_")]
    best = max(schedules, key=lambda name: (scores[name].score.mean, -scores[name].loss.mean))
    return Outcome(
        num_rows=stream.num_rows,
        num_scored=len(scored),
        task=task,
        label_mean=float(scored.mean()),
        constant_loss=float(task.losses(scored, repeated(task.constant(scored), len(scored))).mean()),
        scores=scores,
        accounts={name: one.account for name, one in played.items()},
        best_schedule=best,
        loop_less_never=_less(task, scored, answers[LOOP], answers[NEVER]),
        loop_less_even=_less(task, scored, answers[LOOP], answers[EVEN]),
        loop_less_best=_less(task, scored, answers[LOOP], answers[best]),
    )


def _scores(task: Task, labels: Values, answers: Values) -> Scores:
    row_scores, losses = task.row_scores(labels, answers), task.losses(labels, answers)
    return Scores(
        score=_interval(row_scores),
        loss=_interval(losses),
        auc=auc(labels, answers) if auc in task.metrics else None,
        decile_score=_means(row_scores),
        decile_loss=_means(losses),
    )


def _less(task: Task, labels: Values, one: Values, other: Values) -> dict[str, Interval]:
    return {
        "score": _interval(task.row_scores(labels, one) - task.row_scores(labels, other)),
        "loss": _interval(task.losses(labels, one) - task.losses(labels, other)),
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
    loss, points = found.loop_less_never["loss"], found.loop_less_never["score"]
    loss_name, score_name = found.task.loss.title, found.task.score.title
    numbers = f"{loss_name} {_signed(loss)}, {score_name} {_signed(points)} against never learning again"
    # Where what is sure is too small to be noticed it is said to be level.
    is_noticed = max(loss.mean / found.loss_unit, -points.mean) >= NOTICED
    if is_noticed and (loss.low > 0 or points.high < 0):
        return f"No: the loop made the answers worse here ({numbers}). Do not run it on this table as it is."
    gains = ((points.mean, points.low > 0), (-loss.mean / found.loss_unit, loss.high < 0))
    sure = [gain for gain, is_sure in gains if is_sure]
    if sure and max(sure) < WORTHWHILE:
        return f"Hardly: the loop's gain is real but too small to run anything for ({numbers})."
    if sure:
        turns = found.accounts[LOOP].num_turns
        return f"Yes: learning again by the loop pays here ({numbers}; {turns} turns)."
    if found.best_gain < LEAST_GAIN:
        return (
            f"No: learning again pays nobody here; the best schedule gains {found.best_gain * 100:+.1f} points of "
            f"{score_name} over never, and the loop is level with never ({numbers})."
        )
    return f"No: the loop's gain cannot be told from chance here ({numbers})."


def _against_even(found: Outcome) -> list[str]:
    if not found.accounts[LOOP].num_turns:
        return []
    loss, name = found.loop_less_even["loss"], found.task.loss.title
    if loss.high < 0:
        return [f"When to turn mattered: as many turns at even distances do worse ({name} {_signed(loss)})."]
    if loss.low > 0:
        return [f"The watching did not help: as many turns at even distances do better ({name} {_signed(loss)})."]
    return [f"The watching made no sure difference: as many turns at even distances are level ({_signed(loss)})."]


def _against_schedule(found: Outcome) -> list[str]:
    best, loop = found.accounts[found.best_schedule], found.accounts[LOOP]
    cost = (
        f"{loop.num_turns} turns and {loop.cpu_s:.1f} CPU-seconds against {best.num_turns} and {best.cpu_s:.1f} "
        f"of {found.best_schedule}"
    )
    loss = found.loop_less_best["loss"]
    if found.best_gain < LEAST_GAIN:
        return [f"It took {cost}."]
    level = "worse" if loss.low > 0 else "better" if loss.high < 0 else "level"
    share = found.gain_share or 0.0
    won = f"It has {share:.0%} of the best schedule's gain in {found.task.score.title}"
    sentence = f"{won} ({level} in {found.task.loss.title}, {_signed(loss)}), for {cost}."
    if level == "worse":
        costs_less = loop.cpu_s > best.cpu_s
        sentence += " That schedule answers better" + (" and costs less: take it." if costs_less else ".")
    return [sentence]


def _signed(interval: Interval) -> str:
    return " ".join((_figure(interval.mean), f"({_figure(interval.low)} to {_figure(interval.high)})"))


def _figure(value: float) -> str:
    """Four decimals, or four digits where the unit is large."""
    return f"{value:+.4f}" if abs(value) < LARGE else f"{value:+.4g}"
