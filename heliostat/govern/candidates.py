"""Which candidates a turn fits, and which of them goes on: the same rules live and played, on losses row by row.

A candidate learns from the newest so many rows before the hold-out. The shortest windows come first: where one of rows
since the change surely beats the champion, rows from before it have nothing to add.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import MIN_BLOCKS, NORMAL_95, block_mean, one_sided_95, sums_by_block

Values = NDArray[np.float64]
Blocks = NDArray[np.generic]
ALL, SINCE, RECENT = "all history", "since the change", "recent rows"
ALIKE = 0.8  # a window with that share of the rows of another is the same candidate
MIN_SURE_BLOCKS = 5  # of time: days of one storm are alike, and gone before what learned from them is in force
RETURN_ERRORS = 2.0  # an archived champion returns where it scores within so many errors of what it did in its time
MIN_RETURN_ERROR = 0.02  # as a share of a reference: a smaller one is luck


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One candidate on the hold-out: its loss on each row, whether the gates hold, what it surely gains a row."""

    name: str
    losses: Values
    is_passed: bool
    sure_gain: float

    @property
    def loss(self) -> float:
        """The mean over all rows."""
        return float(self.losses.mean())


def windows(wanted: Mapping[str, int | None], *, can_learn: Callable[[int], bool]) -> list[tuple[str, int]]:
    """Names and numbers of newest rows to learn from, the fewest first.

    One that nearly equals another is left out: of two alike the one that is named first in `wanted` stays.
    """
    kept: list[tuple[str, int]] = []
    for name, size in wanted.items():
        if not size:
            continue
        is_alike = any(min(size, other) >= ALIKE * max(size, other) for _, other in kept)
        if not is_alike and can_learn(size):
            kept.append((name, size))
    return sorted(kept, key=lambda one: one[1])


def difference(losses: Values, others: Values, blocks: Blocks) -> tuple[float, float]:
    """(mean of `losses` less `others`, its standard error) row by row; below zero the first is better.

    The error comes from the scatter between blocks, widened so that 1.64 of it is the one-sided 95% bound of so few.
    With fewer than three blocks each row counts as one of its own.
    """
    if _num_blocks(blocks) < MIN_BLOCKS:
        blocks = np.arange(len(losses))
    found = block_mean(*sums_by_block(losses - others, blocks))
    return found.mean, found.standard_error * one_sided_95(found.num_blocks) / NORMAL_95


def sure_gain(losses: Values, champion: Values, blocks: Blocks) -> float:
    """By how much a row a candidate is surely (one-sided 95%) better than the champion; -inf where nobody can say.

    Nobody can on fewer than five blocks, however many rows they have.
    """
    if _num_blocks(blocks) < MIN_SURE_BLOCKS:
        return -math.inf
    mean, error = difference(losses, champion, blocks)
    gain = -(mean + NORMAL_95 * error)
    return gain if math.isfinite(gain) else -math.inf


def num_choosing(num_rows: int, *, split: float | None, at_least: int) -> int:
    """How many of a hold-out's rows, the oldest, choose among several candidates; the others judge who was chosen.

    All of them do both (0) without a `split`, or where fewer than `at_least` were left to judge on.
    """
    if split is None:
        return 0
    found = round(split * num_rows)
    return found if num_rows - found >= at_least else 0


def can_win(judged: Sequence[Contender], *, is_older: bool, is_all: bool = False, knows_all: bool = True) -> bool:
    """Whether another window is worth its fit: not one from before the change, once a shorter one surely won.

    Conditions come back, so all history (`is_all`) always challenges a champion that learned from less (not
    `knows_all`).
    """
    is_challenge = is_all and not knows_all
    return is_challenge or not (is_older and any(one.sure_gain > 0 for one in judged))


def best(judged: Sequence[Contender], blocks: Blocks, *, num_errors: float = 1.0) -> int:
    """The place of the one to go on with; `judged` holds the shortest windows first.

    Those that passed before those that did not; then all history (the better of two kinds), if no shorter window is
    better by more than `num_errors` standard errors over at least five blocks: the newest rows flatter whoever learned
    from the rows next to them, and conditions come back.
    """
    places = range(len(judged))
    passed = [place for place in places if judged[place].is_passed]
    lowest = min(passed or places, key=lambda place: judged[place].loss)
    widest = [place for place in passed if judged[place].name == ALL]
    if not widest:
        return lowest
    wide = min(widest, key=lambda place: judged[place].loss)
    mean, error = difference(judged[lowest].losses, judged[wide].losses, blocks)
    is_sure = _num_blocks(blocks) >= MIN_SURE_BLOCKS and mean + num_errors * error < 0
    return lowest if is_sure else wide


def _num_blocks(blocks: Blocks) -> int:
    return len(np.unique(blocks))


def returns(loss: float, *, reference: float, error: float) -> bool:
    """Whether an archived champion does about as well on the hold-out as it did in its time: its world is back."""
    return loss <= reference + RETURN_ERRORS * max(error, MIN_RETURN_ERROR * abs(reference))
