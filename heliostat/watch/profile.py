"""The reference profile of a model version: what its training rows looked like, in bins."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number
from heliostat.errors import ContractError
from heliostat.tasks import BINARY, Task
from heliostat.watch.all_bins import Bins, bins_from_json, fit_bins, reference_codes
from heliostat.watch.bins import CategoryBins, Codes, NumberBins
from heliostat.watch.counts import Counts
from heliostat.watch.drift import ColumnDrift, design_effect, effect_of_calm, log_evidence, noise_floor, psi
from heliostat.watch.extents import Extent
from heliostat.watch.quantiles import reference_quantiles
from heliostat.watch.together import Dependence, Together

Values = NDArray[np.float64]
OUTPUTS = frozenset({"probability", "probabilities", "value"})  # of the kinds of labels: no input has such a name
OUTPUT = "probability"
CONFIDENCE = "probability:confidence"  # the probability of the likelier answer; no input can have such a name
NOT_INPUTS = OUTPUTS | {CONFIDENCE}
MIN_WINDOW_ROWS = 30  # an index over fewer rows is mostly noise
CALM_QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Bins of every input and of the answers, how the reference fills them, and how its own windows scatter."""

    bins: tuple[Bins, ...]
    reference: Counts
    calm_psi_by_column: Mapping[str, float] = field(default_factory=dict)
    design_effect_by_column: Mapping[str, float] = field(default_factory=dict)
    extents: tuple[Extent, ...] = ()
    quantiles_by_column: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    deviation_by_column: Mapping[str, float] = field(default_factory=dict)
    together: Together | None = None

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        columns: Sequence[Column],
        answers: Values,
        *,
        task: Task = BINARY,
        window: timedelta | None = None,
        together: Sequence[str] = (),
    ) -> "Profile":
        """The profile of reference rows and the answers to them.

        With `window` and a column `event_at`, each window of the reference is compared with the whole of it:
        what nineteen in twenty stay below is calm. Without it a day of one weather looks like drift. How the columns
        of `together` depend on each other is kept too.
        """
        bins: list[Bins] = [one for column in columns for one in fit_bins(column, _column(table, column.name))]
        output = task.output(answers)
        if task.output_name == OUTPUT:
            bins.append(NumberBins.fit(CONFIDENCE, _confidence(output)))
        of_output = CategoryBins if pa.types.is_string(output.type) else NumberBins
        bins.append(of_output.fit(task.output_name, pa.chunked_array([output])))
        codes = _codes(tuple(bins), table, output, coded=reference_codes)
        reference = _tally(tuple(bins), codes)
        extents = [
            Extent.fit(one.name, _column(table, one.name)) for one in columns if isinstance(one, Number | Category)
        ]
        numbers = {one.name: _finite(_column(table, one.name)) for one in columns if isinstance(one, Number)}
        starts = _window_starts(table, window)
        windows = {} if starts is None else {one.name: _by_window(one, codes[one.name], starts) for one in bins}
        whole = {name: np.array(counts) for name, counts in reference.by_column.items()}
        return cls(
            bins=tuple(bins),
            reference=reference,
            calm_psi_by_column={name: _calm_psi(whole[name], cells) for name, cells in windows.items()},
            design_effect_by_column={name: design_effect(whole[name], cells) for name, cells in windows.items()},
            extents=tuple(one for one in extents if one.is_known),
            quantiles_by_column={name: reference_quantiles(values) for name, values in numbers.items()},
            deviation_by_column={name: float(values.std()) for name, values in numbers.items() if len(values)},
            together=Together.fit([one for one in bins if one.name in together], codes, starts=starts),
        )

    @property
    def is_of_probabilities(self) -> bool:
        """Whether the answers are probabilities of one of two values, which say what they expect of themselves."""
        return self.bins[-1].name == OUTPUT

    @property
    def empty(self) -> Counts:
        """The counts of no rows: where adding starts."""
        return Counts(
            profile=self.reference.profile,
            num_rows=0,
            by_column={b.name: (0,) * b.num_bins for b in self.bins},
            unseen_by_column={one.name: 0 for one in self.extents},
            together=() if self.together is None else self.together.empty,
        )

    def bins_of(self, names: Sequence[str]) -> tuple[NumberBins | CategoryBins, ...]:
        """The bins of the named columns, in the order of the profile."""
        return tuple(one for one in self.bins if isinstance(one, NumberBins | CategoryBins) and one.name in names)

    def count(
        self, table: pa.Table, output: pa.Array | Values, *, unsent: Mapping[str, NDArray[np.bool_]] | None = None
    ) -> Counts:
        """How normalised rows and the task's output for them fill the bins; ContractError when a column is absent.

        The cells that `unsent` marks, by column, are counted in no bin.
        """
        codes, skipped = _codes(self.bins, table, pa.array(output)), unsent or {}
        outside = {one.name: one.unseen(_column(table, one.name)) for one in self.extents}
        unseen = {
            name: int((mask & ~skipped[name]).sum() if name in skipped else mask.sum())
            for name, mask in outside.items()
        }
        counts = _tally(self.bins, codes, unsent=skipped, unseen=unseen)
        if self.together is None:
            return counts
        absent = [mask for name, mask in skipped.items() if name in self.together.columns]
        return replace(counts, together=self.together.count(codes, skipped=absent))

    def compare_together(self, counts: Counts) -> Dependence | None:
        """How far columns go together otherwise than in the reference; None where that is not watched."""
        return None if self.together is None else self.together.compare(counts.together)

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
        effect = self.design_effect_by_column.get(name) or effect_of_calm(reference, current, calm_psi=calm)
        num_rows, num_unseen = int(current.sum()), counts.unseen_by_column.get(name)
        unseen = None if num_unseen is None or not num_rows else num_unseen / num_rows
        # None of n rows bounds a share by 3 / n at 95% (the rule of three): what is above that is new.
        is_news = unseen is not None and unseen > 3 / max(int(reference.sum()), 1)
        return ColumnDrift(
            psi=psi(reference, current),
            floor=max(noise_floor(reference, current), calm),
            log_evidence=log_evidence(reference, current, effect=effect),
            missing=int(current[-1]) / num_rows if num_rows else 0.0,
            unseen=unseen,
            began_to_vary=is_news and any(one.is_constant for one in self.extents if one.name == name),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for the bundle; `from_json` reads them."""
        return {
            "bins": [one.to_json() for one in self.bins],
            "reference": self.reference.to_json(),
            "calm_psi_by_column": dict(self.calm_psi_by_column),
            "design_effect_by_column": dict(self.design_effect_by_column),
            "extents": [one.to_json() for one in self.extents],
            "quantiles_by_column": {name: list(values) for name, values in self.quantiles_by_column.items()},
            "deviation_by_column": dict(self.deviation_by_column),
            **({} if self.together is None else {"together": self.together.to_json()}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Profile":
        """The profile that `to_json` wrote: it counts and compares bit for bit as the first did."""
        return cls(
            bins=tuple(bins_from_json(one) for one in value["bins"]),
            reference=Counts.from_json(value["reference"]),
            calm_psi_by_column=dict(value["calm_psi_by_column"]),
            # profiles of bundles before 0.2 lack all of these
            quantiles_by_column={name: tuple(one) for name, one in value.get("quantiles_by_column", {}).items()},
            deviation_by_column=dict(value.get("deviation_by_column", {})),
            design_effect_by_column=dict(value.get("design_effect_by_column", {})),
            extents=tuple(Extent.from_json(one) for one in value.get("extents", ())),
            together=Together.from_json(value["together"]) if "together" in value else None,
        )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ContractError(f"The rows lack {name!r}; they have {sorted(table.column_names)}. Normalise them first.")
    return table.column(name)


def _finite(values: pa.ChunkedArray) -> Values:
    numbers = np.asarray(values.cast(pa.float64()).drop_null().to_numpy(), np.float64)
    return numbers[np.isfinite(numbers)]


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
    codes = {
        one.name: coded(one, _confidence(answers) if one.name == CONFIDENCE else _column(table, one.source))
        for one in inputs
    }
    return codes | {output.name: output.codes(pa.chunked_array([answers]))}


def _confidence(probabilities: pa.Array) -> pa.ChunkedArray:
    """The probability of the likelier answer."""
    return pa.chunked_array([pc.max_element_wise(probabilities, pc.subtract(1.0, probabilities))])


def _tally(
    bins: tuple[Bins, ...],
    codes: Mapping[str, Codes],
    *,
    unsent: Mapping[str, NDArray[np.bool_]] | None = None,
    unseen: Mapping[str, int] | None = None,
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
        unseen_by_column=unseen or {},
    )


def _window_starts(table: pa.Table, window: timedelta | None) -> NDArray[np.int64] | None:
    if window is None or "event_at" not in table.column_names:
        return None
    microseconds = table.column("event_at").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(microseconds // (window // timedelta(microseconds=1)), np.int64)


def _by_window(one: Bins, codes: Codes, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts of each window, shape (num_windows, num_bins)."""
    _, place = np.unique(starts, return_inverse=True)
    num_windows = int(place.max(initial=-1)) + 1
    cells = np.bincount(place * one.num_bins + codes, minlength=num_windows * one.num_bins)
    return cells.reshape(num_windows, one.num_bins)


def _calm_psi(reference: NDArray[np.int64], windows: NDArray[np.int64]) -> float:
    """The index that nineteen in twenty windows of the reference stay below, against the whole of it."""
    found = [psi(reference, row) for row in windows if row.sum() >= MIN_WINDOW_ROWS]
    return float(np.quantile(found, CALM_QUANTILE)) if found else 0.0
