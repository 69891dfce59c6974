"""Rows as bins: the bin of each cell of each watched column, of the answers and of their confidence."""

import hashlib
import json
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.watch.all_bins import Bins
from heliostat.watch.bins import Codes
from heliostat.watch.counts import Counts

CONFIDENCE = "probability:confidence"  # the probability of the likelier answer; no input can have such a name


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """The named column; ContractError when the rows lack it."""
    place = table.schema.get_field_index(name)  # not by `column_names`, a list that is made anew for every column
    if place < 0:
        raise ContractError(f"The rows lack {name!r}; they have {sorted(table.column_names)}. Normalise them first.")
    return table.column(place)


def finite(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """The numbers that are neither missing nor infinite, in their order."""
    numbers = np.asarray(values.cast(pa.float64()).drop_null().to_numpy(), np.float64)
    return numbers[np.isfinite(numbers)]


def confidence(output: pa.Array, sureness: NDArray[np.float64] | None) -> pa.ChunkedArray:
    """The probability of the likeliest answer: as told, or that of two values from the output alone."""
    if sureness is not None:
        return pa.chunked_array([pa.array(sureness, pa.float64())])
    if not pa.types.is_floating(output.type):
        raise ContractError(
            f"The confidence of answers of {output.type} cannot be told from them; give how sure they are (`sureness`)."
        )
    return pa.chunked_array([pc.max_element_wise(output, pc.subtract(1.0, output))])


def _coded(bins: Bins, values: pa.ChunkedArray) -> Codes:
    return bins.codes(values)


def codes_of(
    bins: tuple[Bins, ...],
    table: pa.Table,
    answers: pa.Array,
    *,
    sureness: NDArray[np.float64] | None = None,
    coded: Callable[[Bins, pa.ChunkedArray], Codes] = _coded,
) -> dict[str, Codes]:
    """The bin of each row by the name of its bins, of which the last are the answers'; ContractError when one lacks."""
    if table.num_rows != len(answers):
        raise ContractError(f"{table.num_rows} rows need as many answers; got {len(answers)}.")
    *inputs, output = bins
    codes = {
        one.name: coded(one, confidence(answers, sureness) if one.name == CONFIDENCE else column_of(table, one.source))
        for one in inputs
    }
    return codes | {output.name: output.codes(pa.chunked_array([answers]))}


def tally(
    bins: tuple[Bins, ...],
    codes: Mapping[str, Codes],
    *,
    unsent: Mapping[str, NDArray[np.bool_]] | None = None,
    unseen: Mapping[str, int] | None = None,
    profile: str | None = None,
) -> Counts:
    """How many rows lie in each bin; cells that `unsent` marks, by column, in none.

    `profile` names these bins where that is known; counts of other bins are never added to them.
    """
    num_rows = len(codes[bins[-1].name])
    masks = {one.name: mask for one in bins if (mask := (unsent or {}).get(one.source)) is not None}
    codes = {**codes, **{name: codes[name][~mask] for name, mask in masks.items()}}
    by_column = {one.name: tuple(np.bincount(codes[one.name], minlength=one.num_bins).tolist()) for one in bins}
    return Counts(
        profile=_name_of(bins) if profile is None else profile,
        num_rows=num_rows,
        by_column=by_column,
        unseen_by_column=unseen or {},
    )


def _name_of(bins: tuple[Bins, ...]) -> str:
    """The same for the same bins; asked for once a profile, since describing many columns takes long."""
    described = json.dumps([one.to_json() for one in bins], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]
