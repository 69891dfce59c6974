"""Which candidates a turn fits, which of them goes on, and who comes back: one set of rules, live and played.

All of them look at losses row by row on the hold-out. A candidate learns from the newest so many rows before it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import MIN_BLOCKS, NORMAL_95, block_mean, memory, one_sided_95, sums_by_block

Values = NDArray[np.float64]
Blocks = NDArray[np.generic]
ALL, SINCE, RECENT = "all history", "since the change", "recent rows"
ALIKE = 0.8  # a window with that share of the rows of another is the same candidate
HOLDOUT_PART = 3  # of the rows since a change at most a third judges, the rest teaches
MOST_ALIKE = 0.9  # blocks that are more like those before them than that are one block, of which nobody can be sure
MIN_SURE_BLOCKS = 5  # of time: days of one storm are alike, and gone before what learned from them is in force
RETURN_ERRORS = 2.0  # an archived champion returns where it scores within so many errors of what it did in its time
MIN_RETURN_ERROR = 0.02  # as a share of a reference: a smaller one is luck


@dataclass(frozen=True, kw_only=True)
class Window:
    """The newest rows before the hold-out that one candidate learns from; `is_older`: some are from before a change."""

    name: str
    num_rows: int
    is_older: bool = False


@dataclass(frozen=True, kw_only=True)
class Archived:
    """An earlier champion on the hold-out: its loss, that of the constant answer, what it surely gains, the gates.

    `reference` and `error` are its loss in its own time.
    """

    loss: float
    constant_loss: float
    sure_gain: float
    is_passed: bool
    reference: float
    error: float


def num_judging(usual: int, *, num_since: int | None, at_least: int) -> int:
    """How many of the newest rows judge: the usual number, after a change at most a third of the rows since it."""
    return usual if num_since is None else min(usual, max(at_least, num_since // HOLDOUT_PART))


def num_choosing(num_rows: int, *, split: float | None, at_least: int) -> int:
    """How many of a hold-out's rows, the oldest, choose among several candidates; the others judge who was chosen.

    All of them do both (0) without a `split`, or where fewer than `at_least` were left to judge on.
    """
    if split is None:
        return 0
    found = round(split * num_rows)
    return found if num_rows - found >= at_least else 0


def windows(
    declared: Mapping[str, int],
    *,
    num_since: int | None,
    num_recent: int | None,
    can_learn: Callable[[int], bool],
) -> list[Window]:
    """What is tried beside each other: the declared windows, and the rows since a change, or else the recent ones.

    A world that moves slowly gives no alarm, so recent rows are tried wherever no change is known (`num_since` is
    None). Of two windows alike the one named first stays. After a change the fewest rows come first, because older ones
    may be needless then; otherwise all are tried, the most rows first: who runs out of time has that one.
    """
    wanted = {**declared, SINCE: num_since, RECENT: num_recent if num_since is None else None}
    kept: list[Window] = []
    for name, size in wanted.items():
        if not size or not can_learn(size):
            continue
        is_alike = any(min(size, one.num_rows) >= ALIKE * max(size, one.num_rows) for one in kept)
        if not is_alike:
            kept.append(Window(name=name, num_rows=size, is_older=num_since is not None and size > num_since))
    return sorted(kept, key=lambda one: one.num_rows, reverse=num_since is None)


def difference(losses: Values, others: Values, blocks: Blocks) -> tuple[float, float]:
    """(mean of `losses` less `others`, its standard error) row by row; below zero the first is better.

    The error comes from the scatter between blocks, widened so that 1.64 of it is the one-sided 95% bound of so few,
    and where blocks are like those before them (a storm lasts, conditions pass). With fewer than three blocks each row
    counts as one of its own.
    """
    if _num_blocks(blocks) < MIN_BLOCKS:
        blocks = np.arange(len(losses))
    sums, num_rows = sums_by_block(losses - others, blocks)
    found = block_mean(sums, num_rows)
    error = found.standard_error * one_sided_95(found.num_blocks) / NORMAL_95
    if found.num_blocks >= MIN_SURE_BLOCKS:  # of fewer nobody can say how alike they are
        error *= math.sqrt(memory((sums - found.mean * num_rows) / np.sqrt(num_rows), most_alike=MOST_ALIKE))
    return found.mean, error


def sure_gain(losses: Values, others: Values, blocks: Blocks) -> float:
    """By how much a row the first are surely (one-sided 95%) better than the others; -inf where nobody can say.

    Nobody can on fewer than five blocks, however many rows they have.
    """
    if _num_blocks(blocks) < MIN_SURE_BLOCKS:
        return -math.inf
    mean, error = difference(losses, others, blocks)
    gain = -(mean + NORMAL_95 * error)
    return gain if math.isfinite(gain) else -math.inf


class Race:
    """The candidates of one turn on the rows that choose among them, as they come to be fitted.

    `champion` are its losses there; `knows_all` says that it learned from all history.
    """

    def __init__(self, champion: Values, blocks: Blocks, *, knows_all: bool) -> None:
        self._champion, self._blocks, self._knows_all = champion, blocks, knows_all
        self._names: list[str] = []
        self._losses: list[Values] = []

    def can_win(self, name: str, *, is_older: bool) -> bool:
        """Whether another window is worth its fit: not one from before a change, once rows since it surely won.

        Conditions come back, so all history always challenges a champion that learned from less.
        """
        is_challenge = name == ALL and not self._knows_all
        return is_challenge or not (is_older and any(self._gain(losses) > 0 for losses in self._losses))

    def add(self, name: str, losses: Values) -> None:
        """One more was fitted without the hold-out, and lost so much on each of its rows."""
        self._names.append(name)
        self._losses.append(losses)

    def winner(self) -> int:
        """The place of the one to go on with, in the order in which they were added.

        All history (the better of two kinds), unless a shorter window is better by the one-sided 95% bound over at
        least five blocks: the newest rows flatter whoever learned from the rows next to them, and conditions come back.
        One whose losses are no numbers goes on only where all are such.
        """
        means = [float(losses.mean()) for losses in self._losses]
        loss = [mean if math.isfinite(mean) else math.inf for mean in means]
        lowest = min(range(len(loss)), key=loss.__getitem__)
        widest = [place for place, name in enumerate(self._names) if name == ALL and loss[place] < math.inf]
        if not widest:
            return lowest
        wide = min(widest, key=loss.__getitem__)
        is_sure = sure_gain(self._losses[lowest], self._losses[wide], self._blocks) > 0
        return lowest if is_sure else wide

    def _gain(self, losses: Values) -> float:
        return sure_gain(losses, self._champion, self._blocks)


def returning(archive: Sequence[Archived]) -> int | None:
    """The place of the earlier champion that goes on without a fit; None where none does.

    It passes the gates, surely beats the present champion and the constant answer, and is the best of those; and its
    world is back: it does about as well as in its time.
    """
    places = [
        place
        for place, one in enumerate(archive)
        if one.is_passed and one.sure_gain > 0 and one.loss < one.constant_loss
    ]
    lowest = min(places, key=lambda place: archive[place].loss, default=None)
    if lowest is None:
        return None
    one = archive[lowest]
    return lowest if returns(one.loss, reference=one.reference, error=one.error) else None


def returns(loss: float, *, reference: float, error: float) -> bool:
    """Whether an archived champion does about as well on the hold-out as it did in its time: its world is back."""
    return loss <= reference + RETURN_ERRORS * max(error, MIN_RETURN_ERROR * abs(reference))


def _num_blocks(blocks: Blocks) -> int:
    return len(np.unique(blocks))
