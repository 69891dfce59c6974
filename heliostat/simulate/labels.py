"""What the label column of a table means: one of two, one of several classes, or a quantity."""

from decimal import Decimal
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.labels import Classes, Quantity
from heliostat.simulate.inputs import finite, is_number, is_text
from heliostat.tasks import BINARY, Task, task_of

Values = NDArray[np.float64]
Asked = Literal["classification", "regression"]
MAX_CLASSES = 50
MAX_SHOWN = 4
SMALLEST, LARGEST = 1e-100, 1e100  # of quantities: squared and summed they are numbers still


def labels(values: pa.ChunkedArray, name: str, *, asked: Asked, remarks: list[str]) -> tuple[Values, Task]:
    """A label for each row (NaN: missing) and the task that it belongs to; the remarks say what counts as what."""
    found, task = _quantities(values, name) if asked == "regression" else _kinds_of_rows(values, name, remarks)
    num_missing = int(np.isnan(found).sum())
    if num_missing:
        remarks.append(f"{num_missing:,} rows have no label: they are answered, never learned from nor scored.")
    return found, task


def _quantities(values: pa.ChunkedArray, name: str) -> tuple[Values, Task]:
    if not (is_number(values.type) or kinds.is_boolean(values.type)):
        raise ContractError(f"Label {name!r} is {values.type}, regression needs numbers; try --task classification.")
    found = np.asarray(finite(values).to_numpy(), np.float64)
    kept = np.unique(found[np.isfinite(found)])
    if not len(kept):
        raise ContractError(f"Label {name!r} has no value at all; name another column.")
    if len(kept) == 1:
        raise ContractError(f"Label {name!r} has one value only ({kept[0]:g}): nothing can be learned.")
    if np.abs(kept).max() > LARGEST or np.ptp(kept) < SMALLEST:
        raise ContractError(
            f"Label {name!r} lies between {kept[0]:g} and {kept[-1]:g}: its squared errors are beyond what numbers "
            "hold; give it in another unit."
        )
    return found, task_of(Quantity(name))


def _kinds_of_rows(values: pa.ChunkedArray, name: str, remarks: list[str]) -> tuple[Values, Task]:
    values = _plain(values, name)
    kept = sorted(pc.unique(values.drop_null()).to_pylist())
    if len(kept) < 2:
        raise ContractError(f"Label {name!r} has one value only ({_shown(kept)}): nothing can be learned.")
    if len(kept) > MAX_CLASSES:
        hint = "try --task regression" if is_number(values.type) else "join the rare ones first"
        raise ContractError(
            f"Label {name!r} has {len(kept):,} different values ({_shown(kept)}), at most {MAX_CLASSES} classes can be "
            f"told apart; {hint}."
        )
    place = pc.index_in(values, value_set=pa.array(kept, values.type), skip_nulls=True).cast(pa.float64())
    codes = np.asarray(pc.fill_null(place, float("nan")).to_numpy(), np.float64)
    if len(kept) == 2:
        if kept not in ([0, 1], [False, True]):
            remarks.append(f"Label {name}: {kept[0]!r} counts as 0 and {kept[1]!r} as 1.")
        return codes, BINARY
    remarks.append(f"Label {name} has {len(kept)} classes: {_shown(kept)}.")
    return codes, task_of(Classes(name, values=tuple(map(_named, kept))))


def _named(value: object) -> str:
    return str(int(value)) if isinstance(value, float | Decimal) and value == int(value) else str(value)


def _shown(kept: list[object]) -> str:
    return ", ".join(map(repr, kept[:MAX_SHOWN])) + (", ..." if len(kept) > MAX_SHOWN else "")


def _plain(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Text, booleans or numbers as they are, with what is not finite as missing; ContractError for anything else."""
    if kinds.is_floating(values.type):
        return finite(values)
    if is_text(values.type) or is_number(values.type) or kinds.is_boolean(values.type):
        return values
    if kinds.is_null(values.type):
        raise ContractError(f"Label {name!r} has no value at all; name another column.")
    raise ContractError(f"Label {name!r} is {values.type}; a label must be text, boolean or number.")
