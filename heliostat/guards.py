"""Gates beside the scores: slices, older rows, known answers, speed; their evidence is made when one asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from heliostat.errors import WorkloadError
from heliostat.finding import Finding
from heliostat.typed import refuse_wrong_types

ERROR = 0.05  # one-sided, over all slices together


@dataclass(frozen=True, kw_only=True)
class LossDifference:
    """Mean loss of the candidate less the champion's on some rows, and its standard error."""

    name: str
    num_rows: int
    mean: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Answers to rows whose answers are known: how many lie off by more than allowed, and the worst of them."""

    num_rows: int
    num_off: int
    worst_row: int
    worst_distance: float


@dataclass(frozen=True, kw_only=True)
class BatchTimes:
    """The median time of a batch in ms on the machine that judged; None where there is no champion."""

    num_rows: int
    own_ms: float
    champion_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Further:
    """What only some gates ask for; None was not asked for or cannot be said."""

    slices: tuple[LossDifference, ...] = ()
    older: LossDifference | None = None
    golden: Golden | None = None
    times: BatchTimes | None = None


@dataclass(frozen=True, kw_only=True)
class NoSliceWorse:
    """In no part of the rows is the candidate surely worse than the champion by more than `margin`.

    Parts are the categories and quarters of the range of each of `columns`, with `min_rows` hold-out rows or more. The
    chance that any of them is wrongly called worse is 5% over all parts together.
    """

    columns: tuple[str, ...]
    margin: float = 0.0
    min_rows: int = 100

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.columns or self.margin < 0 or self.min_rows < 1:
            raise WorkloadError(f"{self}: name columns; margin must not be negative, min_rows at least 1.")

    def check(self, further: Further) -> Finding:
        """Whether the gate holds; it does where there is no champion, or no part has enough rows."""
        told = [one for one in further.slices if one.num_rows >= self.min_rows]
        if not told:
            return Finding(True, "no slice with enough rows to compare on")
        bound = NormalDist().inv_cdf(1 - ERROR / len(told))
        worst = max(told, key=lambda one: one.mean - bound * one.standard_error)
        is_worse = worst.mean - bound * worst.standard_error > self.margin
        return Finding(
            not is_worse,
            f"loss {worst.mean:+.4f} ± {bound * worst.standard_error:.4f} where {worst.name}, on {worst.num_rows:,} "
            f"rows, the worst of {len(told)} slices",
        )


@dataclass(frozen=True, kw_only=True)
class KeepsOlder:
    """On rows from before its own, or on a sample of all history, the candidate loses no more than `margin`.

    One-sided at 95%. The champion may have learned from such rows, so leave a margin: this gate is against forgetting.
    """

    margin: float

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.margin < 0:
            raise WorkloadError(f"{self}: margin must not be negative.")

    def check(self, further: Further) -> Finding:
        """Whether the gate holds; it does where there is no champion, or nothing older."""
        older = further.older
        if older is None:
            return Finding(True, "no older rows to compare on")
        is_worse = older.mean - 1.64 * older.standard_error > self.margin
        return Finding(not is_worse, f"loss {older.mean:+.4f} on {older.num_rows:,} {older.name}, margin {self.margin}")


@dataclass(frozen=True, kw_only=True)
class KeepsGolden:
    """The answers to the rows of a file lie within `tolerance` of the column `answer` there.

    The file (CSV or Parquet, relative to the working directory) has the declared columns and `answer`: a probability or
    a quantity.
    """

    path: str
    tolerance: float

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.path.endswith((".csv", ".parquet")) or self.tolerance < 0:
            raise WorkloadError(f"{self}: give a .csv or .parquet file, and a tolerance that is not negative.")

    def check(self, further: Further) -> Finding:
        """Whether the gate holds."""
        golden = further.golden
        if golden is None:
            return Finding(False, f"the golden rows of {self.path} were not answered")
        where = f", worst row {golden.worst_row} by {golden.worst_distance:.4f}" if golden.num_off else ""
        return Finding(
            golden.num_off == 0,
            f"{golden.num_off} of {golden.num_rows} golden answers are off by more than {self.tolerance}{where}",
        )


@dataclass(frozen=True, kw_only=True)
class QuickEnough:
    """A batch of `num_rows` takes at most `max_ms` on the machine that judges, or three times the champion's time."""

    max_ms: float
    num_rows: int = 64

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.max_ms <= 0 or self.num_rows < 1:
            raise WorkloadError(f"{self}: max_ms must be above 0, num_rows at least 1.")

    def check(self, further: Further) -> Finding:
        """Whether the gate holds."""
        times = further.times
        if times is None:
            return Finding(False, "nobody measured how long a batch takes")
        is_quick = times.own_ms <= self.max_ms
        is_usual = times.champion_ms is not None and times.own_ms <= 3 * times.champion_ms
        beside = "" if times.champion_ms is None else f", the champion {times.champion_ms:.1f} ms"
        told = f"{times.own_ms:.1f} ms for {times.num_rows} rows{beside}, at most {self.max_ms:g} ms asked"
        return Finding(is_quick or is_usual, told)


Guard = NoSliceWorse | KeepsOlder | KeepsGolden | QuickEnough


def asked_columns(guards: Sequence[object]) -> tuple[str, ...]:
    """The columns whose slices some gate asks for, each once."""
    names = [name for guard in guards if isinstance(guard, NoSliceWorse) for name in guard.columns]
    return tuple(dict.fromkeys(names))
