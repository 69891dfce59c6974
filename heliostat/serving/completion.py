"""From the columns that a request sent to those of the log: what its contract revision lacks is filled in here."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Number, Vector
from heliostat.declared.revisions import Derive, Step
from heliostat.errors import ContractError
from heliostat.serving.arrow_cells import kept
from heliostat.serving.cells import Values
from heliostat.vectors import to_matrix

Cells: TypeAlias = Values | pa.Array
"""One column of a request: plain values, or an Arrow array that stays one up to the model."""


class Completion:
    """Fills in what rows of one revision do not say; costs nothing when there is nothing to fill in."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._is_identity = all(step.sent == step.column.name for step in steps)
        sent = [(step.sent, step.column) for step in steps if step.sent is not None]
        self._lengths = {name: column.length for name, column in sent if isinstance(column, Vector)}

    def __call__(self, sent_by_name: Mapping[str, Cells], *, num_rows: int) -> Mapping[str, Cells]:
        """Every logged column; ContractError when a derived value breaks the contract of its column."""
        if self._is_identity:
            return sent_by_name
        arrays = _Arrays(sent_by_name, self._lengths)
        return {step.column.name: _cells(step, sent_by_name, arrays, num_rows) for step in self._steps}


class _Arrays(Mapping[str, NDArray[Any]]):
    """The columns as numpy arrays, each made when it is asked for; vectors as matrices."""

    def __init__(self, sent_by_name: Mapping[str, Cells], lengths: Mapping[str, int]) -> None:
        self._sent_by_name = sent_by_name
        self._lengths = lengths

    def __getitem__(self, name: str) -> NDArray[Any]:
        values = self._sent_by_name[name]
        if name in self._lengths:
            return to_matrix(values, length=self._lengths[name])
        if isinstance(values, pa.Array):
            return np.asarray(values.to_numpy(zero_copy_only=False))
        is_text = any(isinstance(value, str) for value in values)
        return np.array(values, dtype=object if is_text else np.float64)

    def __iter__(self) -> Any:
        return iter(self._sent_by_name)

    def __len__(self) -> int:
        return len(self._sent_by_name)


def _cells(step: Step, sent_by_name: Mapping[str, Cells], arrays: _Arrays, num_rows: int) -> Cells:
    if step.sent is not None:
        return sent_by_name[step.sent]
    if step.derive is not None:
        return _derived(step, step.derive, arrays, num_rows)
    return [_plain(step.fill, step)] * num_rows


def _derived(step: Step, derive: Derive, arrays: _Arrays, num_rows: int) -> Cells:
    values = np.asarray(derive(arrays)).tolist()
    if not isinstance(values, list) or len(values) != num_rows:
        raise ContractError(f"`derive` of {step.column.name!r} must give one value for each of {num_rows} rows.")
    try:
        return kept(values, step.column)
    except ContractError as error:
        raise ContractError(f"Derived from what was sent: {error}") from error


def _plain(fill: float | str | None, step: Step) -> float | str | None:
    return float(fill) if isinstance(step.column, Number) and fill is not None else fill
