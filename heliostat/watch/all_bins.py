"""The bins of a column, whatever it holds: what a profile is made of."""

from typing import Any

import pyarrow as pa

from heliostat.columns import Column, Number, Vector
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.vector_bins import VectorBins

Bins = NumberBins | CategoryBins | VectorBins


def fit_bins(column: Column, values: pa.ChunkedArray) -> list[Bins]:
    """The bins of a column of the reference: one set, of a vector one for each number that is made of it."""
    if isinstance(column, Vector):
        return list(VectorBins.fit(column, values))
    if isinstance(column, Number):
        return [NumberBins.fit(column.name, values)]
    return [CategoryBins.fit(column.name, values)]


def bins_from_json(value: dict[str, Any]) -> Bins:
    """The bins that `to_json` wrote, bit for bit."""
    if "source" in value:
        return VectorBins.from_json(value)
    if "cuts" in value:
        return NumberBins(name=value["name"], cuts=tuple(value["cuts"]))
    return CategoryBins(name=value["name"], levels=tuple(value["levels"]))
