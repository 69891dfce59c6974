"""The contract of a workload's rows: what each column may hold, and which rows break it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat import vectors
from heliostat.errors import ContractError, WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True)
class Number:
    """A numeric column; values outside `low` to `high` (both allowed) break the contract."""

    name: str
    low: float
    high: float
    optional: bool = False

    arrow_type = pa.float64()

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.low < self.high:
            raise WorkloadError(
                f"Number({self.name!r}, low={self.low}, high={self.high}): low must be below high; "
                "give the range of values that can really occur."
            )


@dataclass(frozen=True)
class Category:
    """A text column; `closed` lists all allowed values, without it a new value is normal."""

    name: str
    closed: tuple[str, ...] | None = None
    optional: bool = False

    arrow_type = pa.string()

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.closed is not None and not self.closed:
            raise WorkloadError(
                f"Category({self.name!r}, closed=()) allows nothing; list the allowed values or leave `closed` out."
            )


@dataclass(frozen=True)
class Vector:
    """A column of `length` float32 numbers a row: an embedding, pixels, a window of a series; all finite.

    Numbers outside `low` to `high` (both allowed; none: any) break the contract.
    """

    name: str
    length: int
    low: float | None = None
    high: float | None = None
    optional: bool = False

    arrow_type = vectors.KIND

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        low, high = self.limits
        if not 0 < self.length <= LONGEST_VECTOR or not low < high:
            raise WorkloadError(
                f"Vector({self.name!r}, {self.length}, low={self.low}, high={self.high}): it needs 1 to "
                f"{LONGEST_VECTOR:,} numbers, and low must be below high; correct them."
            )

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number that it may hold."""
        low = -vectors.LARGEST if self.low is None else self.low
        return low, vectors.LARGEST if self.high is None else self.high


@dataclass(frozen=True)
class Text:
    """A column of text for models to read, of at most `max_length` characters.

    Models see the first `most_terms` of its words and pairs of words, each as one of `num_buckets` numbers. With
    `letters`, (2, 5) for example, they also see parts of words, runs of 2 to 5 letters, which take two thirds of both.
    """

    name: str
    max_length: int = 10_000
    num_buckets: int = 1 << 15
    most_terms: int = 128
    optional: bool = False
    letters: tuple[int, int] | None = None

    arrow_type = pa.string()

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.max_length < 1 or self.num_buckets < MIN_BUCKETS or self.most_terms < 1:
            raise WorkloadError(
                f"Text({self.name!r}, max_length={self.max_length}, num_buckets={self.num_buckets}, "
                f"most_terms={self.most_terms}): all must be above 0, and num_buckets at least {MIN_BUCKETS}."
            )
        if self.letters is not None and not 0 < self.letters[0] <= self.letters[1]:
            raise WorkloadError(
                f"Text({self.name!r}, letters={self.letters}): give (fewest, most), both above 0 and in this order."
            )


Column = Number | Category | Vector | Text

MIN_BUCKETS = 16
LONGEST_VECTOR = 1_000_000
WORDS: dict[type, str] = {Number: "a number", Category: "text", Text: "text", Vector: "a list of numbers"}


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One cell that breaks the contract: which row, which column, what it holds, and why."""

    row: int
    column: str
    value: object
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: column {self.column!r} {self.reason}; got {self.value!r}"


def normalise(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The declared columns in declared order: Number as float64 with NaN as null, Category as string, Vector as lists.

    Raises ContractError when a column is absent (optional ones become null) or of a type that cannot be cast.
    """
    arrays = [_normalise_column(table, column) for column in columns]
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _normalise_column(table: pa.Table, column: Column) -> pa.ChunkedArray:
    if column.name not in table.column_names:
        if column.optional:
            return pa.chunked_array([pa.nulls(table.num_rows, column.arrow_type)])
        raise ContractError(
            f"Column {column.name!r} is missing; the rows have {sorted(table.column_names)}. "
            "Send it, or declare it optional."
        )
    values = table.column(column.name)
    try:
        # Of whole numbers in a vector the last digits may go, as of any other number.
        cast = values.cast(column.arrow_type, safe=not isinstance(column, Vector))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"Column {column.name!r} must be {WORDS[type(column)]}; got {values.type} ({error})."
        ) from error
    if isinstance(column, Number):
        return pc.if_else(pc.is_nan(cast), pa.scalar(None, pa.float64()), cast)
    return cast


def violations(table: pa.Table, columns: Sequence[Column]) -> list[Violation]:
    """Every cell of a normalised table that breaks the contract, column by column."""
    return [violation for column in columns for violation in _column_violations(table, column)]


def _column_violations(table: pa.Table, column: Column) -> Iterator[Violation]:
    values = table.column(column.name)
    if not column.optional and values.null_count:
        yield from _at(values, column, pc.is_null(values), "must not be null")
    if isinstance(column, Number):
        # Infinity is no number of a row, also where the declared range has no end.
        outside = pc.or_(pc.or_(pc.less(values, column.low), pc.greater(values, column.high)), pc.is_inf(values))
        yield from _at(values, column, outside, f"must lie between {column.low} and {column.high}")
    elif isinstance(column, Vector):
        low, high = column.limits
        for row, value, reason in vectors.faults(values, length=column.length, low=low, high=high):
            yield Violation(row=row, column=column.name, value=value, reason=reason)
    elif isinstance(column, Text):
        too_long = pc.greater(pc.utf8_length(values), column.max_length)
        yield from _at(values, column, too_long, f"must have at most {column.max_length:,} characters")
    elif column.closed is not None:
        known = pc.or_kleene(pc.is_in(values, value_set=pa.array(column.closed, pa.string())), pc.is_null(values))
        yield from _at(values, column, pc.invert(known), f"must be one of {', '.join(column.closed)}")


def _at(values: pa.ChunkedArray, column: Column, broken: pa.ChunkedArray, reason: str) -> Iterator[Violation]:
    mask = pc.fill_null(broken, False).to_numpy()
    for row in np.flatnonzero(mask).tolist():
        yield Violation(row=row, column=column.name, value=values[row].as_py(), reason=reason)


def split(table: pa.Table, columns: Sequence[Column]) -> tuple[pa.Table, pa.Table]:
    """(rows that keep the contract, rows that break it with a `reason` column); no row is lost."""
    reason_by_row: dict[int, list[str]] = {}
    for violation in violations(normalise(table, columns), columns):
        text = f"{violation.column} {violation.reason}; got {violation.value!r}"
        reason_by_row.setdefault(violation.row, []).append(text)
    broken = np.zeros(table.num_rows, dtype=bool)
    broken[list(reason_by_row)] = True
    rejected = table.filter(pa.array(broken)).append_column(
        "reason", pa.array(["; ".join(reason_by_row[row]) for row in sorted(reason_by_row)], pa.string())
    )
    return table.filter(pa.array(~broken)), rejected
