"""What became of each prediction: labels joined to predictions, late, twice or out of order.

A prediction matures when its label is due. One without a due time matures when its first label arrives, and
never if none does: for such a workload the coverage is 1 by construction, and outcomes that become known
early are over-represented, so declare a due time where the domain has one.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Index = NDArray[np.int64]
INSTANT = pa.timestamp("us", tz="UTC")
NOWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Each prediction once with `label`, `label_known_at` (null: unlabelled) and `matures_at` added."""

    table: pa.Table
    num_unknown_labels: int
    num_contradicted: int


def join(predictions: pa.Table, labels: pa.Table, *, known_by: datetime) -> Joined:
    """Predictions with the label known by that time: the latest of several wins, a repeated one counts once.

    A label names a prediction by id, or by key: then the key's latest prediction at or before `known_at`.
    Labels of predictions that are not in the table are counted and left out.
    """
    predictions = _once(predictions)
    labels = labels.filter(pc.less_equal(labels.column("known_at"), pa.scalar(known_by, INSTANT)))
    targets = np.where(_is_null(labels, "id"), _by_key(predictions, labels), _by_id(predictions, labels))
    known = targets != NOWHERE
    facts = _Facts.of(labels.filter(pa.array(known)), targets[known])
    label = _spread(facts.values[facts.last], facts.targets[facts.last], predictions.num_rows)
    known_at = _spread(facts.known_at[facts.last], facts.targets[facts.last], predictions.num_rows)
    first_at = _spread(facts.known_at[facts.first], facts.targets[facts.first], predictions.num_rows)
    table = (
        predictions.append_column("label", label)
        .append_column("label_known_at", known_at.cast(INSTANT))
        .append_column("matures_at", pc.coalesce(predictions.column("due_at").cast(INSTANT), first_at.cast(INSTANT)))
    )
    return Joined(table=table, num_unknown_labels=int((~known).sum()), num_contradicted=facts.num_contradicted)


def matured(table: pa.Table, as_of: datetime) -> pa.Table:
    """The joined rows whose outcome was due by then, labelled or not."""
    return table.filter(pc.less_equal(table.column("matures_at"), pa.scalar(as_of, INSTANT)))


def cohort(table: pa.Table, *, since: datetime, until: datetime) -> pa.Table:
    """The joined rows whose outcome fell due from `since` up to but not including `until`."""
    matures_at = table.column("matures_at")
    from_since = pc.greater_equal(matures_at, pa.scalar(since, INSTANT))
    return table.filter(pc.and_(from_since, pc.less(matures_at, pa.scalar(until, INSTANT))))


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """Labels that found their prediction, ordered by prediction and then by when they became known."""

    targets: Index
    known_at: Index
    values: NDArray[np.float64]

    @classmethod
    def of(cls, labels: pa.Table, targets: Index) -> "_Facts":
        values = np.asarray(labels.column("value").to_numpy(), np.float64)
        known_at, received_at = _microseconds(labels, "known_at"), _microseconds(labels, "received_at")
        # the value breaks the last tie, so that the order of the rows never matters
        order = np.lexsort((values, received_at, known_at, targets))
        return cls(targets=targets[order], known_at=known_at[order], values=values[order])

    @property
    def first(self) -> NDArray[np.bool_]:
        return np.append(True, self._changes)[: len(self.targets)]

    @property
    def last(self) -> NDArray[np.bool_]:
        return np.append(self._changes, True)[: len(self.targets)]

    @property
    def _changes(self) -> NDArray[np.bool_]:
        return np.asarray(self.targets[1:] != self.targets[:-1], np.bool_)

    @property
    def num_contradicted(self) -> int:
        """How many predictions got labels of different values."""
        differs = ~self._changes & (self.values[1:] != self.values[:-1])
        return len(np.unique(self.targets[1:][differs]))


def _once(predictions: pa.Table) -> pa.Table:
    """Each id once, ordered by id: then neither repeats nor the order of the rows change the answer."""
    ordered = predictions.sort_by("id")
    ids = np.asarray(ordered.column("id").to_numpy(zero_copy_only=False), object)
    return ordered.filter(pa.array(np.append(True, ids[1:] != ids[:-1])[: len(ids)], pa.bool_()))


def _by_id(predictions: pa.Table, labels: pa.Table) -> Index:
    place = pc.index_in(labels.column("id"), value_set=predictions.column("id").combine_chunks(), skip_nulls=True)
    return np.asarray(pc.fill_null(place, NOWHERE).to_numpy(), np.int64)


def _by_key(predictions: pa.Table, labels: pa.Table) -> Index:
    """For each label the row of the latest prediction of its key at or before it, by one sorted search."""
    if not predictions.num_rows or not labels.num_rows:
        return np.full(labels.num_rows, NOWHERE, np.int64)
    event_at, known_at = _microseconds(predictions, "event_at"), _microseconds(labels, "known_at")
    instants = np.unique(np.r_[event_at, known_at])
    keys = pc.unique(predictions.column("key").combine_chunks())
    # key and instant in one integer: the rank keeps it far below 2**63
    prediction_at = _place(predictions, keys) * len(instants) + np.searchsorted(instants, event_at)
    label_key = _place(labels, keys)
    label_at = label_key * len(instants) + np.searchsorted(instants, known_at)
    order = np.argsort(prediction_at, kind="stable")
    found = np.searchsorted(prediction_at[order], label_at, side="right") - 1
    row = order[np.maximum(found, 0)]
    is_same_key = (found >= 0) & (label_key >= 0) & (_place(predictions, keys)[row] == label_key)
    return np.where(is_same_key, row, NOWHERE)


def _place(table: pa.Table, keys: pa.Array) -> Index:
    place = pc.index_in(table.column("key"), value_set=keys, skip_nulls=True)
    return np.asarray(pc.fill_null(place, NOWHERE).to_numpy(), np.int64)


def _is_null(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(pc.is_null(table.column(name)).to_numpy(), np.bool_)


def _microseconds(table: pa.Table, name: str) -> Index:
    """A missing instant, such as that of a label which came with its row, stands before all others."""
    values = table.column(name).cast(INSTANT).cast(pa.int64())
    return np.asarray(pc.fill_null(values, np.iinfo(np.int64).min).to_numpy(), np.int64)


def _spread(values: NDArray[np.generic], rows: Index, num_rows: int) -> pa.Array:
    """Values at their rows, null everywhere else."""
    filled, is_missing = np.zeros(num_rows, values.dtype), np.ones(num_rows, np.bool_)
    filled[rows], is_missing[rows] = values, False
    return pa.array(filled, mask=is_missing)
