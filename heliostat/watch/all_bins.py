"""The bins of a column, whatever it holds: what a profile is made of."""

from typing import Any

import pyarrow as pa

from heliostat.columns import Column, Number, Text, Vector
from heliostat.watch.bins import CategoryBins, Codes, NumberBins
from heliostat.watch.text_bins import TextBins
from heliostat.watch.vector_bins import VectorBins

Bins = NumberBins | CategoryBins | VectorBins | TextBins


def fit_bins(column: Column, values: pa.ChunkedArray) -> list[Bins]:
    """The bins of a column of the reference: one set, of a vector or a text one for each number made of it."""
    if isinstance(column, Vector):
        return list(VectorBins.fit(column, values))
    if isinstance(column, Text):
        return list(TextBins.fit(column, values))
    if isinstance(column, Number):
        return [NumberBins.fit(column.name, values)]
    return [CategoryBins.fit(column.name, values)]


def reference_codes(bins: Bins, values: pa.ChunkedArray) -> Codes:
    """The bin of each row of the reference that the bins were fitted to, shape (num_rows,)."""
    return bins.reference_codes(values) if isinstance(bins, TextBins) else bins.codes(values)


def bins_from_json(value: dict[str, Any]) -> Bins:
    """The bins that `to_json` wrote, bit for bit."""
    if "measure" in value:
        return TextBins.from_json(value)
    if "source" in value:
        return VectorBins.from_json(value)
    if "cuts" in value:
        return NumberBins(name=value["name"], cuts=tuple(value["cuts"]))
    return CategoryBins(name=value["name"], levels=tuple(value["levels"]))
