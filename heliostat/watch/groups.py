"""Whether a model serves one group of rows worse than the rest: rates, true and false positives, loss.

What calibration needs is counted here too, and told by `group_calibration`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.tasks import BINARY, Task
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.said import sure_and_right

Values = NDArray[np.float64]
MIN_GROUP_ROWS = 30  # a gap over fewer says nothing, however wide its interval
THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class GroupTally:
    """Labelled rows of one group: how many, how many were positive, said to be, and both; losses and their squares.

    Of `num_judged` of them it is known how likely their positive label was called and whether it came (of two values),
    and how sure the answer was and whether it was right: sums of each.
    """

    num_rows: int = 0
    num_positive: int = 0
    num_said: int = 0
    num_true: int = 0
    loss_sum: float = 0.0
    loss_square_sum: float = 0.0
    num_judged: int = 0
    said_sum: float = 0.0
    num_came: int = 0
    sure_sum: float = 0.0
    num_right: int = 0

    def __add__(self, other: "GroupTally") -> "GroupTally":
        """The tally of both sets of rows."""
        return GroupTally(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __sub__(self, other: "GroupTally") -> "GroupTally":
        """The tally of the rows that are not in the other."""
        return GroupTally(**{one.name: getattr(self, one.name) - getattr(other, one.name) for one in fields(self)})

    @classmethod
    def of(cls, labels: Values, answers: Values, *, task: Task = BINARY) -> "GroupTally":
        """The tally of labelled answers; only of labels 0 and 1 some are positive."""
        is_binary = task.kind == BINARY.kind
        positive = labels > 0.5 if is_binary else np.zeros(len(labels), np.bool_)
        said = answers >= THRESHOLD if is_binary else positive
        losses = task.losses(labels, answers)
        sure, right = sure_and_right(task, labels, answers)
        return cls(
            num_rows=len(labels),
            num_positive=int(positive.sum()),
            num_said=int(said.sum()),
            num_true=int((positive & said).sum()),
            loss_sum=float(losses.sum()),
            loss_square_sum=float((losses**2).sum()),
            num_judged=len(sure),
            said_sum=float(answers.sum()) if is_binary else 0.0,
            num_came=int(positive.sum()),
            sure_sum=float(sure.sum()),
            num_right=int(right.sum()),
        )


Tallies = Mapping[str, Mapping[str, GroupTally]]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One group's measure less that of all other rows, with the half width of its 95% interval.

    The intervals of all groups of a column hold together (Bonferroni). They are for one look, not for looking for ever.
    """

    column: str
    group: str
    measure: str
    value: float
    difference: float
    half_width: float
    num_rows: int


def tallies(
    rows: pa.Table,
    bins: Sequence[NumberBins | CategoryBins],
    *,
    labels: Values,
    answers: Values,
    task: Task = BINARY,
) -> Tallies:
    """The tally of each group of each column; `bins` say what the groups are, so there are never many."""
    found: dict[str, dict[str, GroupTally]] = {}
    for one in bins:
        codes = one.codes(rows.column(one.name))
        found[one.name] = {
            one.names[code]: GroupTally.of(labels[codes == code], answers[codes == code], task=task)
            for code in np.unique(codes).tolist()
        }
    return found


def added(parts: Sequence[Tallies]) -> dict[str, dict[str, GroupTally]]:
    """The tallies of all parts, such as the cohorts of one champion."""
    total: dict[str, dict[str, GroupTally]] = {}
    for part in parts:
        for column, by_group in part.items():
            mine = total.setdefault(column, {})
            for group, tally in by_group.items():
                mine[group] = mine.get(group, GroupTally()) + tally
    return total


def gaps(total: Tallies) -> list[Gap]:
    """Every group with enough rows against all other rows of its column: rate, true and false positives, loss."""
    found: list[Gap] = []
    for column, by_group in total.items():
        whole = added([{column: {"": tally}} for tally in by_group.values()])[column][""]
        large = {group: tally for group, tally in sorted(by_group.items()) if _is_large(tally, whole - tally)}
        z = z_of(len(large))
        for group, tally in large.items():
            found += _gaps(column, group, tally, whole - tally, z=z)
    return found


def _is_large(tally: GroupTally, rest: GroupTally) -> bool:
    return min(tally.num_rows, rest.num_rows) >= MIN_GROUP_ROWS


def _gaps(column: str, group: str, mine: GroupTally, rest: GroupTally, *, z: float) -> list[Gap]:
    shares = {
        "rate": ((mine.num_said, mine.num_rows), (rest.num_said, rest.num_rows)),
        "true_positive_rate": ((mine.num_true, mine.num_positive), (rest.num_true, rest.num_positive)),
        "false_positive_rate": (_false(mine), _false(rest)),
    }
    whole = mine + rest
    if not whole.num_positive and not whole.num_said:
        shares = {}  # labels that are not 0 and 1, or nothing to tell apart
    differences = {measure: _share_gap(*pair, z=z) for measure, pair in shares.items() if pair[0][1] and pair[1][1]}
    differences["loss"] = _mean_gap(mine, rest, z=z)
    return [
        Gap(
            column=column,
            group=group,
            measure=measure,
            value=value,
            difference=difference,
            half_width=half_width,
            num_rows=mine.num_rows,
        )
        for measure, (value, difference, half_width) in differences.items()
    ]


def _false(tally: GroupTally) -> tuple[int, int]:
    return tally.num_said - tally.num_true, tally.num_rows - tally.num_positive


def _share_gap(mine: tuple[int, int], rest: tuple[int, int], *, z: float) -> tuple[float, float, float]:
    """(share, difference, half width); one success and one failure are added to each side (Agresti and Caffo 2000)."""
    smoothed = [((count + 1) / (total + 2), total + 2) for count, total in (mine, rest)]
    half_width = z * math.sqrt(sum(share * (1 - share) / total for share, total in smoothed))
    value = mine[0] / mine[1]
    return value, smoothed[0][0] - smoothed[1][0], half_width


def _mean_gap(mine: GroupTally, rest: GroupTally, *, z: float) -> tuple[float, float, float]:
    means = [tally.loss_sum / tally.num_rows for tally in (mine, rest)]
    variances = [
        max(tally.loss_square_sum / tally.num_rows - mean**2, 0.0) / (tally.num_rows - 1)
        for tally, mean in zip((mine, rest), means, strict=True)
    ]
    return means[0], means[0] - means[1], z * math.sqrt(sum(variances))


def z_of(num_groups: int) -> float:
    """The normal quantile of a 95% interval that holds for so many groups at once."""
    return NormalDist().inv_cdf(1 - 0.025 / max(num_groups, 1))


def to_json(found: Tallies) -> dict[str, Any]:
    """Plain values; `from_json` reads them."""
    return {
        column: {group: [getattr(tally, one.name) for one in fields(tally)] for group, tally in by_group.items()}
        for column, by_group in found.items()
    }


def from_json(value: Mapping[str, Any]) -> dict[str, dict[str, GroupTally]]:
    """The tallies that `to_json` wrote."""
    names = [one.name for one in fields(GroupTally)]
    return {
        # Tallies that were stored before they knew calibration are shorter.
        column: {group: GroupTally(**dict(zip(names, one, strict=False))) for group, one in by_group.items()}
        for column, by_group in value.items()
    }
