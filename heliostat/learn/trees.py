"""Boosted trees that answer: XGBoost on the prepared columns as they are, stored as its JSON.

XGBoost is an optional dependency that takes a while to import, so it is imported by those who use trees.
"""

from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heliostat.errors import BundleError, WorkloadError
from heliostat.learn.prepare import Preparation
from heliostat.workload import Batch, Encoded

KIND = "trees"
FILE = "trees.json"
COLUMNS = "columns"


def xgboost() -> ModuleType:
    """The library; WorkloadError with the remedy where it is not installed."""
    try:
        import xgboost as library  # optional, and seconds to import
    except ImportError as error:
        raise WorkloadError(f"Trees need xgboost ({error}); install it with pip install '.[trees]'.") from error
    return library


def encode(batch: Batch) -> Encoded:
    """The prepared columns side by side as float32, shape (num_rows, num_columns): numbers, NaN if missing, codes, then
    the numbers of vectors. Texts are left out: buckets are no quantities, and too many for categories.
    """
    shown = [each for each in batch.values() if each.ndim == 1 or np.issubdtype(each.dtype, np.floating)]
    return {COLUMNS: torch.from_numpy(np.column_stack([each.astype(np.float32) for each in shown]))}


def column_types(preparation: Preparation) -> list[str]:
    """What each column of `encode` is to XGBoost: a quantity or a category."""
    num_components = sum(len(vector.mean) for vector in preparation.vectors)
    return ["q"] * len(preparation.numbers) + ["c"] * len(preparation.categories) + ["q"] * num_components


class TreeAnswers:
    """Fitted trees, ready to answer; any number of threads may ask at once."""

    def __init__(self, stored: bytes, *, outputs: tuple[int, ...] = (), num_rounds: int | None = None) -> None:
        """Of the trees that are `stored` the first so many rounds answer (None: all)."""
        self._booster: Any = xgboost().Booster({"nthread": 1})
        self.num_bytes, self._outputs = len(stored), outputs
        try:
            self._booster.load_model(bytearray(stored))
        except (ValueError, UnicodeDecodeError) as error:  # XGBoostError is a ValueError
            first_line = str(error).strip().partition("\n")[0]
            raise BundleError(f"{FILE} cannot be read ({first_line}); fetch the bundle again.") from error
        if num_rounds is not None:
            self._booster = self._booster[:num_rounds]
        # One thread an operation: small requests are quicker so, and replicas share a node.
        self._booster.set_param({"nthread": 1})

    def encode(self, batch: Batch) -> Encoded:
        """What the trees see."""
        return encode(batch)

    def logits(self, encoded: Encoded, *, num_rows: int) -> NDArray[np.float64]:
        """The sums of the trees for each row and output; the same for a row in whatever batch."""
        columns = np.ascontiguousarray(encoded[COLUMNS].numpy())
        margins = self._booster.inplace_predict(columns, predict_type="margin", validate_features=False)
        return np.asarray(margins, np.float64).reshape((num_rows, *self._outputs))

    def move_to(self, device: str) -> None:
        """Trees stay on the CPU, whichever device networks are on."""
