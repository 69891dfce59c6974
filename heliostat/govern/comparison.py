"""Two versions on the same live rows: how often they agree, how far apart they are, how long each takes, and where.

One of them answered a row, and the other was asked for it when the answer was gone (`shadows`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat.blocks import NORMAL_95, block_mean, one_sided_95
from heliostat.columns import Category, Column, Text, Vector
from heliostat.gates import Paired
from heliostat.govern.events import Estimated
from heliostat.govern.evidence import paired
from heliostat.tasks import BINARY, Task
from heliostat.vectors import to_matrix

Values = NDArray[np.float64]
MAX_CATEGORIES = 12  # of a column, the most frequent ones; the others are one slice
NUM_PARTS = 4  # of a numeric column, with equally many rows
MISSING, OTHERS = "(missing)", "(others)"


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long a version takes for a batch, in ms: what a half, three in four, 95% and 99% of rows stay below."""

    p50: float
    p75: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows of one category or one part of a column's range; `loss_difference` is None without labels."""

    column: str
    value: str
    num_rows: int
    agreement: float
    distance: float
    loss_difference: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`version` against `against` on rows that both scored; None stands for what cannot be said without such rows.

    `num_answered` rows were answered meanwhile, `num_asked` of them by one and put to the other, which failed on
    `num_errors`; the rest was dropped, or is still to be asked. `losses` is of matured rows alone.
    """

    version: int
    against: int | None
    num_answered: int
    num_asked: int
    num_compared: int
    num_scored: int
    num_errors: int
    error: str | None
    agreement: float | None
    distance: float | None
    distance_p95: float | None
    own_ms: Times | None
    other_ms: Times | None
    losses: Paired | None
    slices: tuple[Slice, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return asdict(self)


def pairs(
    rows: pa.Table, shadows: pa.Table, *, version: int, against: int | None = None, task: Task = BINARY
) -> pa.Table:
    """Every answered row that `version` answered or was asked about, with what both said: own, other, error, times.

    `rows` are answered rows, each once; `against` (None: whichever) is the other version.
    """
    asked = shadows.take(_places(rows, shadows))
    degraded = pc.fill_null(rows["degraded"], False)
    is_own = pc.and_(pc.equal(rows["version"], version), pc.invert(degraded))
    is_failed = pc.and_(pc.equal(rows["arm"], "candidate"), degraded)
    is_shadow = pc.fill_null(pc.equal(asked["version"], version), False)
    other = pc.if_else(is_own, asked["version"], rows["version"])
    table = rows.append_column("other_version", other)
    answers: dict[str, pa.ChunkedArray] = {}
    for own_name, other_name, field in _said_by_both(task):
        nothing = pa.nulls(rows.num_rows, field.type)
        shadow = pc.if_else(is_shadow, asked[field.name], nothing)
        answers[own_name] = pc.if_else(is_own, rows[field.name], shadow)
        answers[other_name] = pc.if_else(is_own, asked[field.name], rows[field.name])
    failed = pc.if_else(is_failed, pa.scalar("could not answer"), pa.scalar(None, pa.string()))
    error = pc.coalesce(pc.if_else(is_shadow, asked["error"], pa.scalar(None, pa.string())), failed)
    values = {
        **answers,
        "error": error,
        "own_ms": pc.if_else(is_own, asked["answer_latency_ms"], asked["latency_ms"]),
        "other_ms": pc.if_else(is_own, asked["latency_ms"], asked["answer_latency_ms"]),
    }
    for name, column in values.items():
        table = table.append_column(name, column)
    kept = pc.or_(pc.or_(is_own, is_shadow), is_failed)
    if against is not None:
        kept = pc.and_(kept, pc.fill_null(pc.equal(other, against), False))
    return table.filter(kept)


def compare(
    found: pa.Table,
    columns: Sequence[Column],
    *,
    version: int,
    num_answered: int,
    matured: pa.Array | pa.ChunkedArray,
    task: Task = BINARY,
) -> Comparison:
    """The figures of `pairs`; `matured` says of each of its rows whether its label counts by now."""
    both = pc.and_(pc.is_valid(found["own"]), pc.is_valid(found["other"]))
    is_both = np.asarray(both.to_numpy(), bool)
    is_judged = is_both & np.asarray(pc.and_(matured, pc.is_valid(found["label"])).to_numpy(), bool)
    compared, judged = found.filter(pa.array(is_both)), found.filter(pa.array(is_judged))
    own, other = both_said(compared, task)
    agrees, distance = task.agrees(own, other), task.distances(own, other)
    errors = found["error"].drop_null()
    against = compared["other_version"][0].as_py() if compared.num_rows else None
    difference = np.full(compared.num_rows, np.nan)
    difference[is_judged[is_both]] = _loss_differences(judged, task)
    return Comparison(
        version=version,
        against=against,
        num_answered=num_answered,
        num_asked=found.num_rows,
        num_compared=compared.num_rows,
        num_scored=found.num_rows - found["own"].null_count,
        num_errors=len(errors),
        error=errors[0].as_py() if len(errors) else None,
        agreement=float(agrees.mean()) if len(agrees) else None,
        distance=float(distance.mean()) if len(agrees) else None,
        distance_p95=float(np.quantile(distance, 0.95)) if len(agrees) else None,
        own_ms=_times(found["own_ms"]),
        other_ms=_times(found["other_ms"]),
        losses=_losses(judged, against or 0, task),
        slices=tuple(
            part for column in columns for part in _slices(compared, column, agrees, distance, difference=difference)
        ),
    )


def estimated(found: pa.Table, task: Task) -> Estimated | None:
    """How much more loss `version` expects of itself than the other one, on the rows of `pairs` that both scored.

    The error comes from the scatter between hours, one-sided 95% bounds of so few; None without rows.
    """
    both = found.filter(pc.and_(pc.is_valid(found["own"]), pc.is_valid(found["other"])))
    if not both.num_rows:
        return None
    own, other = both_said(both, task)
    hours = pc.floor_temporal(both["event_at"], unit="hour").to_numpy()
    _, place = np.unique(hours, return_inverse=True)
    parts = [np.flatnonzero(place == number) for number in range(int(place.max()) + 1)]
    differences = np.array([_expects(task, own[rows]) - _expects(task, other[rows]) for rows in parts])
    num_rows = np.array([len(rows) for rows in parts], np.float64)
    mean = block_mean(differences * num_rows, num_rows)
    return Estimated(
        difference=mean.mean,
        standard_error=mean.standard_error * one_sided_95(mean.num_blocks) / NORMAL_95,
        num_rows=mean.num_rows,
    )


def _expects(task: Task, answers: Values) -> float:
    found = task.expected(answers)
    assert found is not None  # a block has rows
    return found.loss


def both_said(found: pa.Table, task: Task) -> tuple[Values, Values]:
    """What the version and the other one said of each row of `pairs`, NaN where one said nothing."""
    fields = _said_by_both(task)
    own = pa.table({field.name: found[own_name] for own_name, _, field in fields})
    other = pa.table({field.name: found[other_name] for _, other_name, field in fields})
    return task.answers(own), task.answers(other)


def _said_by_both(task: Task) -> list[tuple[str, str, pa.Field]]:
    """For each column of an answer the two names that it has among `pairs`; the first are `own` and `other`."""
    first, *more = task.stored
    return [("own", "other", first), *((f"own {field.name}", f"other {field.name}", field) for field in more)]


def _places(rows: pa.Table, shadows: pa.Table) -> pa.Array:
    return pc.index_in(rows["id"], value_set=shadows["id"].combine_chunks(), skip_nulls=True).combine_chunks()


def _losses(judged: pa.Table, against: int, task: Task) -> Paired | None:
    if judged.num_rows == 0:
        return None
    own, other = both_said(judged, task)
    return paired(
        _values(judged, "label"),
        own,
        champion=against,
        champion_answers=other,
        task=task,
        # Hours, because a trial may last a day only, and one block has no scatter.
        blocks=pc.floor_temporal(judged["event_at"], unit="hour").to_numpy(),
    )


def _loss_differences(judged: pa.Table, task: Task) -> Values:
    labels, (own, other) = _values(judged, "label"), both_said(judged, task)
    return task.losses(labels, own) - task.losses(labels, other)


def _times(column: pa.ChunkedArray) -> Times | None:
    values = np.asarray(column.drop_null().to_numpy(), np.float64)
    if not len(values):
        return None
    p50, p75, p95, p99 = (float(value) for value in np.quantile(values, [0.5, 0.75, 0.95, 0.99]))
    return Times(p50=p50, p75=p75, p95=p95, p99=p99)


def _slices(
    compared: pa.Table, column: Column, agrees: NDArray[np.bool_], distance: Values, *, difference: Values
) -> list[Slice]:
    names, codes = coded(compared, column)
    slices = []
    for code, name in enumerate(names):
        mask = codes == code
        known = difference[mask & np.isfinite(difference)]
        if mask.any():
            slices.append(
                Slice(
                    column=column.name,
                    value=name,
                    num_rows=int(mask.sum()),
                    agreement=float(agrees[mask].mean()),
                    distance=float(distance[mask].mean()),
                    loss_difference=float(known.mean()) if len(known) else None,
                )
            )
    return slices


def coded(rows: pa.Table, column: Column) -> tuple[list[str], NDArray[np.intp]]:
    """The names of a column's slices, and each row's; vectors go by their norm, texts by their length."""
    if isinstance(column, Category):
        return _categories(rows[column.name])
    if isinstance(column, Vector):
        return _parts(np.linalg.norm(to_matrix(rows[column.name], length=column.length), axis=1).astype(np.float64))
    if isinstance(column, Text):
        return _parts(_numbers(pc.utf8_length(rows[column.name])))
    return _parts(_values(rows, column.name))


def _categories(values: pa.ChunkedArray) -> tuple[list[str], NDArray[np.intp]]:
    found, codes, counts = np.unique(
        np.asarray(pc.fill_null(values, MISSING).to_pylist(), object).astype(str),
        return_inverse=True,
        return_counts=True,
    )
    order = np.argsort(-counts, kind="stable")
    rank = np.argsort(order, kind="stable")
    names = [str(found[place]) for place in order[:MAX_CATEGORIES]] + [OTHERS]
    return names, np.minimum(rank[codes], MAX_CATEGORIES)


def _parts(values: Values) -> tuple[list[str], NDArray[np.intp]]:
    is_known = np.isfinite(values)
    if not is_known.any():
        return [MISSING], np.zeros(len(values), np.intp)
    edges = np.unique(np.quantile(values[is_known], np.linspace(0, 1, NUM_PARTS + 1)))
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)] or [f"{edges[0]:.4g}"]
    codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(names) - 1)
    return [*names, MISSING], np.where(is_known, codes, len(names))


def _values(rows: pa.Table, name: str) -> Values:
    return _numbers(rows[name])


def _numbers(values: pa.ChunkedArray) -> Values:
    return np.asarray(values.to_numpy(), np.float64)
