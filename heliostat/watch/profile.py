"""The reference profile of a model version: what its training rows looked like, in bins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number
from heliostat.errors import ContractError
from heliostat.tasks import BINARY, Task
from heliostat.watch.all_bins import Bins, bins_from_json, fit_bins, reference_codes
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.calm import by_window, calm_psi, window_starts
from heliostat.watch.coding import CONFIDENCE, codes_of, column_of, confidence, finite, tally
from heliostat.watch.counts import Counts
from heliostat.watch.drift import ColumnDrift, effect_of_calm, log_evidence, noise_floor, psi
from heliostat.watch.extents import Extent
from heliostat.watch.quantiles import reference_quantiles
from heliostat.watch.scatter import at_size, design_effect
from heliostat.watch.together import Dependence, Together
from heliostat.watch.within import SliceDrifts, Within

Values = NDArray[np.float64]
OUTPUTS = frozenset({"probability", "probabilities", "value"})  # of the kinds of labels: no input has such a name
OUTPUT = "probability"
NOT_INPUTS = OUTPUTS | {CONFIDENCE}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Bins of every input and of the answers, how the reference fills them, and how its own windows scatter.

    `num_windows` is in how many the reference came; 0 where that is not known.
    """

    bins: tuple[Bins, ...]
    reference: Counts
    calm_psi_by_column: Mapping[str, float] = field(default_factory=dict)
    design_effect_by_column: Mapping[str, float] = field(default_factory=dict)
    extents: tuple[Extent, ...] = ()
    quantiles_by_column: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    deviation_by_column: Mapping[str, float] = field(default_factory=dict)
    together: Together | None = None
    within: Within | None = None
    num_windows: int = 0

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
        within: Sequence[str] = (),
        whole: pa.Table | None = None,
    ) -> "Profile":
        """The profile of reference rows and the answers to them; where they were drawn from more, `whole` are all.

        What was seen at all, quantiles and deviations are those of the whole.

        With `window` and a column `event_at`, each window of the reference is compared with the whole of it:
        what nineteen in twenty stay below is calm. Without it a day of one weather looks like drift. How the columns
        of `together` depend on each other is kept too, and how the rows of each group of those of `within` lie.
        """
        bins: list[Bins] = [one for column in columns for one in fit_bins(column, column_of(table, column.name))]
        seen = table if whole is None else whole
        output = task.output(answers)
        sureness = task.sureness(answers)
        if sureness is not None:
            bins.append(NumberBins.fit(CONFIDENCE, confidence(output, sureness)))
        of_output = CategoryBins if pa.types.is_string(output.type) else NumberBins
        bins.append(of_output.fit(task.output_name, pa.chunked_array([output])))
        codes = codes_of(tuple(bins), table, output, sureness=sureness, coded=reference_codes)
        reference = tally(tuple(bins), codes)
        extents = [
            Extent.fit(one.name, column_of(seen, one.name)) for one in columns if isinstance(one, Number | Category)
        ]
        numbers = {one.name: finite(column_of(seen, one.name)) for one in columns if isinstance(one, Number)}
        starts = window_starts(table, window)
        windows = (
            {}
            if starts is None
            else {one.name: by_window(codes[one.name], starts, num_bins=one.num_bins) for one in bins}
        )
        whole = {name: np.array(counts) for name, counts in reference.by_column.items()}
        return cls(
            bins=tuple(bins),
            reference=reference,
            calm_psi_by_column={name: calm_psi(whole[name], cells) for name, cells in windows.items()},
            design_effect_by_column={name: design_effect(whole[name], cells) for name, cells in windows.items()},
            extents=tuple(one for one in extents if one.is_known),
            quantiles_by_column={name: reference_quantiles(values) for name, values in numbers.items()},
            deviation_by_column={name: float(values.std()) for name, values in numbers.items() if len(values)},
            together=Together.fit([one for one in bins if one.name in together], codes, starts=starts),
            within=Within.fit(within, bins, codes, starts=starts) if within else None,
            num_windows=0 if starts is None else len(np.unique(starts)),
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
            within=() if self.within is None else self.within.empty,
        )

    def bins_of(self, names: Sequence[str]) -> tuple[NumberBins | CategoryBins, ...]:
        """The bins of the named columns, in the order of the profile."""
        return tuple(one for one in self.bins if isinstance(one, NumberBins | CategoryBins) and one.name in names)

    def count(
        self,
        table: pa.Table,
        output: pa.Array | Values,
        *,
        unsent: Mapping[str, NDArray[np.bool_]] | None = None,
        sureness: Values | None = None,
    ) -> Counts:
        """How normalised rows and the task's output for them fill the bins; ContractError when a column is absent.

        The cells that `unsent` marks, by column, are counted in no bin. How sure the answers are (`Task.sureness`) is
        needed of classes; probabilities of two values say it themselves.
        """
        codes, skipped = codes_of(self.bins, table, pa.array(output), sureness=sureness), unsent or {}
        outside = {one.name: one.unseen(column_of(table, one.name)) for one in self.extents}
        unseen = {
            name: int((mask & ~skipped[name]).sum() if name in skipped else mask.sum())
            for name, mask in outside.items()
        }
        counts = tally(self.bins, codes, unsent=skipped, unseen=unseen, profile=self.reference.profile)
        if self.together is not None:
            absent = [mask for name, mask in skipped.items() if name in self.together.columns]
            counts = replace(counts, together=self.together.count(codes, skipped=absent))
        if self.within is not None:
            masks = {one.name: skipped[one.source] for one in self.bins if one.source in skipped}
            counts = replace(counts, within=self.within.count(codes, unsent=masks))
        return counts

    def compare_together(self, counts: Counts) -> Dependence | None:
        """How far columns go together otherwise than in the reference; None where that is not watched."""
        return None if self.together is None else self.together.compare(counts.together, num_windows=self.num_windows)

    def compare_within(self, counts: Counts) -> SliceDrifts | None:
        """How far columns are from the reference in each slice; None where that is not watched."""
        return None if self.within is None else self.within.compare(counts.within, num_windows=self.num_windows)

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
        usual_rows = int(reference.sum()) / self.num_windows if self.num_windows else 0.0
        here = at_size(effect, num_rows=int(current.sum()), usual_rows=usual_rows)
        num_rows, num_unseen = int(current.sum()), counts.unseen_by_column.get(name)
        unseen = None if num_unseen is None or not num_rows else num_unseen / num_rows
        # None of n rows bounds a share by 3 / n at 95% (the rule of three): what is above that is new.
        is_news = unseen is not None and unseen > 3 / max(int(reference.sum()), 1)
        return ColumnDrift(
            psi=psi(reference, current),
            floor=max(noise_floor(reference, current), calm),
            log_evidence=log_evidence(reference, current, effect=effect, current_effect=here),
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
            "num_windows": self.num_windows,
            **({} if self.together is None else {"together": self.together.to_json()}),
            **({} if self.within is None else {"within": self.within.to_json()}),
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
            within=Within.from_json(value["within"]) if "within" in value else None,
            num_windows=value.get("num_windows", 0),
        )
