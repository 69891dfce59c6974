"""Which rows are in the lake already: by identity, one event date at a time."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat.store.schema import PARTITION

Identities = Callable[[pa.Table], pa.Array]
ReadPartition = Callable[[date], pa.Table]

MAX_PARTITIONS = 32


def prediction_identities(predictions: pa.Table) -> pa.Array:
    """A prediction is its id, which holds request and row."""
    return _flat(predictions.column("id"))


def shadow_identities(shadows: pa.Table) -> pa.Array:
    """A shadow is the prediction's id and the version that was asked beside it."""
    return _flat(pc.binary_join_element_wise(shadows.column("id"), shadows.column("version").cast(pa.string()), "/"))


def label_identities(labels: pa.Table) -> pa.Array:
    """A label is what it names, its value, when it became known and who told it; another value is another label.

    What two sources tell alike stays twice: one of them may be shut out one day, and the other's still count.
    """
    by_id = pc.binary_join_element_wise("id", labels.column("id"), "=")
    by_key = pc.binary_join_element_wise("key", labels.column("key"), "=")
    value = labels.column("value").cast(pa.string())
    known_at = labels.column("known_at").cast(pa.int64()).cast(pa.string())
    named = pc.coalesce(by_id, by_key, "")
    told = (named, value, known_at, labels.column("source"))
    return _flat(pc.binary_join_element_wise(*told, "\n", null_handling="replace"))


class KnownRows:
    """The identities of committed rows, read once a partition and kept for the partitions used last."""

    def __init__(
        self, identities: Identities, read_partition: ReadPartition, *, max_partitions: int = MAX_PARTITIONS
    ) -> None:
        self._identities = identities
        self._read_partition = read_partition
        self._max_partitions = max_partitions
        self._by_date: OrderedDict[date, pa.Array] = OrderedDict()

    def fresh(self, rows: pa.Table) -> pa.Table:
        """The rows that are not known, each once, the first of equal ones kept."""
        identities = self._identities(rows)
        is_fresh = np.zeros(rows.num_rows, dtype=bool)
        is_fresh[_first_of_equals(identities)] = True
        for day in pc.unique(rows.column(PARTITION)).to_pylist():
            known = pc.is_in(identities, value_set=_common(self._known(day), identities))
            is_fresh &= ~(known.to_numpy(zero_copy_only=False) & _is_of(rows, day))
        return rows.filter(pa.array(is_fresh))

    def add(self, rows: pa.Table) -> None:
        """The rows were committed; the partitions used longest ago are forgotten, and read again when needed."""
        identities = self._identities(rows)
        for day in pc.unique(rows.column(PARTITION)).to_pylist():
            added = identities.filter(pa.array(_is_of(rows, day)))
            self._by_date[day] = pa.concat_arrays([self._known(day), added])
        while len(self._by_date) > self._max_partitions:
            self._by_date.popitem(last=False)

    def forget(self) -> None:
        """Everything is read again: somebody else wrote to the table."""
        self._by_date.clear()

    def _known(self, day: date) -> pa.Array:
        if day not in self._by_date:
            self._by_date[day] = self._identities(self._read_partition(day))
        self._by_date.move_to_end(day)
        return self._by_date[day]


def _common(many: pa.Array, few: pa.Array) -> pa.Array:
    """Those of `many` that are in `few`: looking each up in a table of the few is 14 times quicker for a million."""
    return many.filter(pc.is_in(many, value_set=few))


def _is_of(rows: pa.Table, day: date) -> np.ndarray:
    mask: np.ndarray = pc.equal(rows.column(PARTITION), pa.scalar(day)).to_numpy()
    return mask


def _first_of_equals(identities: pa.Array) -> np.ndarray:
    numbered = pa.table({"identity": identities, "row": np.arange(len(identities))})
    rows: np.ndarray = numbered.group_by("identity").aggregate([("row", "min")]).column("row_min").to_numpy()
    return rows


def _flat(values: pa.ChunkedArray) -> pa.Array:
    combined = values.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
