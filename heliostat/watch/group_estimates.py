"""What answers expect of themselves by the groups of watched columns, before any label comes.

As `estimates` it assumes that calibration holds in each group and that the concept has not changed there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.tasks import Task
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.expectations import ExpectedTally

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
ByGroup = Mapping[str, Mapping[str, ExpectedTally]]
"""By column and group; there are as many groups as the column has bins, whatever the traffic is."""


def tallied(
    rows: pa.Table,
    bins: Sequence[NumberBins | CategoryBins],
    *,
    task: Task,
    answers: Values,
    unsent: Mapping[str, Mask] | None = None,
) -> ByGroup:
    """The tally of each group of each column that holds a row; cells that `unsent` marks are in no group."""
    skipped = unsent or {}
    found: dict[str, dict[str, ExpectedTally]] = {}
    for one in bins:
        codes = one.codes(rows.column(one.name))
        if one.name in skipped:
            codes = np.where(skipped[one.name], -1, codes)
        found[one.name] = {
            one.names[code]: ExpectedTally.of(task, answers[codes == code])
            for code in np.unique(codes).tolist()
            if code >= 0
        }
    return found


def added(one: ByGroup, other: ByGroup) -> ByGroup:
    """The tallies of both sets of rows."""
    return {
        column: {
            group: one.get(column, {}).get(group, ExpectedTally()) + other.get(column, {}).get(group, ExpectedTally())
            for group in {**one.get(column, {}), **other.get(column, {})}
        }
        for column in {**one, **other}
    }


def to_json(found: ByGroup) -> dict[str, Any]:
    """Plain values; `from_json` reads them."""
    return {column: {group: tally.to_json() for group, tally in by_group.items()} for column, by_group in found.items()}


def from_json(value: Mapping[str, Any]) -> ByGroup:
    """What `to_json` wrote."""
    return {
        column: {group: ExpectedTally.from_json(one) for group, one in by_group.items()}
        for column, by_group in value.items()
    }
