"""The reference profile of a model version: what its training rows looked like, in bins."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column
from heliostat.errors import ContractError
from heliostat.tasks import BINARY, Task
from heliostat.watch.all_bins import Bins, bins_from_json, fit_bins, reference_codes
from heliostat.watch.bins import CategoryBins, Codes, NumberBins
from heliostat.watch.counts import Counts
from heliostat.watch.drift import ColumnDrift, log_evidence, noise_floor, psi

Values = NDArray[np.float64]
OUTPUTS = frozenset({"probability", "probabilities", "value"})  # of the kinds of labels: no input has such a name
MIN_WINDOW_ROWS = 30  # an index over fewer rows is mostly noise
CALM_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Bins of every input and of the answers, how the reference fills them, and how its own windows scatter."""

    bins: tuple[Bins, ...]
    reference: Counts
    calm_psi_by_column: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[Column],
        answers: Values,
        *,
        task: Task = BINARY,
        window: timedelta | None = None,
    ) -> "Profile":
        """The profile of reference rows and the answers to them.

        With `window` and a column `event_at`, each window of the reference is compared with the whole of it:
        what nineteen in twenty stay below is calm. Without it a day of one weather looks like drift.
        """
        bins = [one for column in columns for one in fit_bins(column, _column(table, column.name))]
        output = task.output(answers)
        of_output = CategoryBins if pa.types.is_string(output.type) else NumberBins
        bins.append(of_output.fit(task.output_name, pa.chunked_array([output])))
        codes = _codes(tuple(bins), table, output, coded=reference_codes)
        reference = _tally(tuple(bins), codes)
        windows = _window_starts(table, window)
        calm = (
            {}
            if windows is None
            else {one.name: _calm_psi(reference.by_column[one.name], codes[one.name], windows) for one in bins}
        )
        return cls(bins=tuple(bins), reference=reference, calm_psi_by_column=calm)

    @property
    def empty(self) -> Counts:
        """The counts of no rows: where adding starts."""
        return Counts(
            profile=self.reference.profile,
            num_rows=0,
            by_column={b.name: (0,) * b.num_bins for b in self.bins},
        )

    def count(
        self, table: pa.Table, output: pa.Array | Values, *, unsent: Mapping[str, NDArray[np.bool_]] | None = None
    ) -> Counts:
        """How normalised rows and the task's output for them fill the bins; ContractError when a column is absent.

        The cells that `unsent` marks, by column, are counted in no bin.
        """
        return _tally(self.bins, _codes(self.bins, table, pa.array(output)), unsent or {})

    def compare(self, counts: Counts) -> dict[str, ColumnDrift]:
        """How far each input and the answers (such as `probability`) are from the reference."""
        if counts.profile != self.reference.profile:
            raise ContractError(
                f"Counts of profile {counts.profile} cannot be compared with profile "
                f"{self.reference.profile}; count the rows again with this one."
            )
        return {one.name: self._compare_column(one.name, counts) for one in self.bins}

    def _compare_column(self, name: str, counts: Counts) -> ColumnDrift:
        reference, current = np.array(self.reference.by_column[name]), np.array(counts.by_column[name])
        calm = self.calm_psi_by_column.get(name, 0.0)
        return ColumnDrift(
            psi=psi(reference, current),
            floor=max(noise_floor(reference, current), calm),
            log_evidence=log_evidence(reference, current, calm_psi=calm),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for the bundle; `from_json` reads them."""
        return {
            "bins": [one.to_json() for one in self.bins],
            "reference": self.reference.to_json(),
            "calm_psi_by_column": dict(self.calm_psi_by_column),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Profile":
        """The profile that `to_json` wrote: it counts and compares bit for bit as the first did."""
        return cls(
            bins=tuple(bins_from_json(one) for one in value["bins"]),
            reference=Counts.from_json(value["reference"]),
            calm_psi_by_column=dict(value["calm_psi_by_column"]),
        )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ContractError(f"The rows lack {name!r}; they have {sorted(table.column_names)}. Normalise them first.")
    return table.column(name)


def _coded(bins: Bins, values: pa.ChunkedArray) -> Codes:
    return bins.codes(values)


def _codes(
    bins: tuple[Bins, ...],
    table: pa.Table,
    answers: pa.Array,
    *,
    coded: Callable[[Bins, pa.ChunkedArray], Codes] = _coded,
) -> dict[str, Codes]:
    if table.num_rows != len(answers):
        raise ContractError(f"{table.num_rows} rows need as many answers; got {len(answers)}.")
    *inputs, output = bins
    codes = {one.name: coded(one, _column(table, one.source)) for one in inputs}
    return codes | {output.name: output.codes(pa.chunked_array([answers]))}


def _tally(
    bins: tuple[Bins, ...], codes: Mapping[str, Codes], unsent: Mapping[str, NDArray[np.bool_]] | None = None
) -> Counts:
    num_rows = len(codes[bins[-1].name])
    masks = {one.name: mask for one in bins if (mask := (unsent or {}).get(one.source)) is not None}
    codes = {**codes, **{name: codes[name][~mask] for name, mask in masks.items()}}
    described = json.dumps([one.to_json() for one in bins], sort_keys=True)
    by_column = {one.name: tuple(np.bincount(codes[one.name], minlength=one.num_bins).tolist()) for one in bins}
    return Counts(
        profile=hashlib.sha256(described.encode()).hexdigest()[:16],
        num_rows=num_rows,
        by_column=by_column,
    )


def _window_starts(table: pa.Table, window: timedelta | None) -> NDArray[np.int64] | None:
    if window is None or "event_at" not in table.column_names:
        return None
    microseconds = table.column("event_at").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(microseconds // (window // timedelta(microseconds=1)), np.int64)


def _calm_psi(reference: tuple[int, ...], codes: Codes, windows: NDArray[np.int64]) -> float:
    """The index that nineteen in twenty windows of the reference stay below, against the whole of it."""
    whole, (_, place) = np.array(reference), np.unique(windows, return_inverse=True)
    cells = np.bincount(place * len(whole) + codes, minlength=(place.max(initial=-1) + 1) * len(whole))
    found = [psi(whole, row) for row in cells.reshape(-1, len(whole)) if row.sum() >= MIN_WINDOW_ROWS]
    return float(np.quantile(found, CALM_QUANTILE)) if found else 0.0
