"""What the label column of a table means: which of its two values counts as 1."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from heliostat.errors import ContractError
from heliostat.simulate.inputs import is_number, is_text

Values = NDArray[np.float64]
MAX_SHOWN = 4


def labels(values: pa.ChunkedArray, name: str, remarks: list[str]) -> Values:
    """0, 1 or NaN (missing) for each row; the remarks say which value counts as 1."""
    values = _plain(values, name)
    kept = sorted(pc.unique(values.drop_null()).to_pylist())
    if len(kept) != 2:
        shown = ", ".join(map(repr, kept[:MAX_SHOWN])) + (", ..." if len(kept) > MAX_SHOWN else "")
        raise ContractError(
            f"Label {name!r} has {len(kept):,} different values ({shown}); binary classification needs exactly two."
        )
    if values.null_count:
        remarks.append(f"{values.null_count:,} rows have no label: they are answered, never learned from nor scored.")
    if kept not in ([0, 1], [False, True]):
        remarks.append(f"Label {name}: {kept[0]!r} counts as 0 and {kept[1]!r} as 1.")
    is_one = pc.equal(values, pa.scalar(kept[1], values.type))
    return np.asarray(pc.if_else(is_one, 1.0, 0.0).to_numpy(), np.float64)  # null becomes NaN


def _plain(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Text, booleans or numbers as they are, with NaN as missing; ContractError for anything else."""
    if kinds.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if is_text(values.type) or is_number(values.type) or kinds.is_boolean(values.type):
        return values
    if kinds.is_null(values.type):
        raise ContractError(f"Label {name!r} has no value at all; name another column.")
    raise ContractError(f"Label {name!r} is {values.type}; a label must be text, boolean or number.")
