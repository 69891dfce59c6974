"""Whether answers mean what they say in each group of rows, or call an outcome too likely there."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from heliostat.watch.groups import MIN_GROUP_ROWS, GroupTally, Tallies, z_of

SAID, SURE = "positive", "right"


@dataclass(frozen=True, kw_only=True)
class CalibrationGap:
    """How much likelier something was called in a group than it came, with the half width of its 95% interval.

    Of `positive` it is the positive label of two values, of `right` that the answer is right: above 0, the model is
    too sure of itself. Intervals hold for all groups of the column together (Bonferroni), and for one look.
    """

    column: str
    group: str
    measure: str
    difference: float
    half_width: float


def calibration_gaps(total: Tallies) -> Iterator[CalibrationGap]:
    """Of every group with enough labelled rows."""
    for column, by_group in total.items():
        large = {group: one for group, one in sorted(by_group.items()) if one.num_judged >= MIN_GROUP_ROWS}
        z = z_of(len(large))
        for group, tally in large.items():
            for measure, (said_sum, num_came) in _sums(tally).items():
                half_width = z * _error(num_came, tally.num_judged)
                difference = (said_sum - num_came) / tally.num_judged
                yield CalibrationGap(
                    column=column, group=group, measure=measure, difference=difference, half_width=half_width
                )


def _sums(tally: GroupTally) -> dict[str, tuple[float, int]]:
    said = {SAID: (tally.said_sum, tally.num_came)} if tally.said_sum else {}  # none but of two values
    return {**said, SURE: (tally.sure_sum, tally.num_right)}


def _error(num_came: int, num_rows: int) -> float:
    """The standard error of a share; with one success and one failure more it is never 0 (Agresti and Caffo 2000)."""
    share = (num_came + 1) / (num_rows + 2)
    return math.sqrt(share * (1 - share) / (num_rows + 2))
