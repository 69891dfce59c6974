"""The batches of an epoch in an order that follows from its seeds alone, and one worker's share of each."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heliostat.errors import TrainingError
from heliostat.learn import parallel
from heliostat.learn.examples import Examples
from heliostat.learn.prepare import HIDDEN_SHARE, UNKNOWN_CODE

# Taking or encoding many rows in one go takes as long as a batch does; more of them would take more memory.
ROWS_AT_ONCE = 8192
# Fewer have no variance, which networks with batch normalisation divide by.
LEAST_ROWS = 2
BYTES_AT_ONCE = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Share:
    """One worker's rows of one batch of `num_rows_of_all`; `weight` makes the mean over workers that over the batch.

    They lie in `block` from `start` on; `ends` are where they and those of the batches after them end there, as far as
    they are at hand. No worker has less than `fewest_rows` of the batch.
    """

    block: Examples
    start: int
    ends: Sequence[int]
    weight: float
    num_rows_of_all: int
    fewest_rows: int

    @property
    def end(self) -> int:
        """Where the rows end in the block."""
        return self.ends[0]

    @property
    def num_rows(self) -> int:
        """How many are this worker's."""
        return self.end - self.start

    @cached_property
    def examples(self) -> Examples:
        """The rows of this worker, not copied."""
        return self.block.part(self.start, self.end)

    def pieces(self, most: int) -> "list[Share]":
        """The rows in at most so many pieces of nearly equal size; all in one where there is one row or none."""
        if most > 1:
            # As many on every worker, or one would wait for another's; and none of one row, which has no variance.
            most = min(most, self.fewest_rows // LEAST_ROWS)
        if most <= 1:
            return [self]
        ends = [self.start + self.num_rows * number // most for number in range(most + 1)]
        return [
            replace(self, start=start, ends=(end,), weight=self.weight * (end - start) / self.num_rows)
            for start, end in pairwise(ends)
        ]


class Feed(Protocol):
    """Where the batches of every epoch come from."""

    def num_batches(self, batch_rows: int) -> int:
        """How many batches of about so many rows an epoch has: the same in every epoch."""

    def shares(self, *, seeds: Sequence[int], batch_rows: int, first_step: int = 0) -> Iterator[tuple[int, Share]]:
        """Number and share of each batch from `first_step` on: all rows once, in batches of nearly equal size."""

    def parts(self) -> Iterator[Examples]:
        """All rows, some at a time, to look for one among them."""


@dataclass(frozen=True)
class InMemory:
    """Examples that all lie in memory: any row may come next to any other.

    The batches are the same for any number of workers up to `most_ranks`.
    """

    examples: Examples
    most_ranks: int = 1

    def num_batches(self, batch_rows: int) -> int:
        """As many as hold all rows; none is so small that a worker would have a row of it or none."""
        return num_batches(self.examples.num_rows, batch_rows, num_parts=self.most_ranks)

    def shares(self, *, seeds: Sequence[int], batch_rows: int, first_step: int = 0) -> Iterator[tuple[int, Share]]:
        """All rows once, shuffled."""
        return shares(self.examples, seeds=seeds, num_batches=self.num_batches(batch_rows), first_step=first_step)

    def parts(self) -> Iterator[Examples]:
        """All of them at once."""
        yield self.examples


def num_batches(num_rows: int, batch_rows: int, *, num_parts: int, least_rows: int = LEAST_ROWS) -> int:
    """How many batches of about `batch_rows` to make of all rows, so that each part of one has at least so many.

    TrainingError where there are too few for a single one.
    """
    if num_parts > 1 and num_rows < num_parts * least_rows:
        raise TrainingError(
            f"{num_rows} rows cannot be parted among up to {num_parts} workers; ingest more, or lower "
            "Training(num_workers)."
        )
    most = num_rows // min(batch_rows, num_parts * least_rows)
    return max(1, min(math.ceil(num_rows / batch_rows), most))


def shares(
    examples: Examples, *, seeds: Sequence[int], num_batches: int, first_step: int = 0
) -> Iterator[tuple[int, Share]]:
    """Number and share of each batch from `first_step` on: all rows once, in batches of nearly equal size."""
    random = np.random.default_rng(list(seeds))
    # Of nearly equal size: a small last batch would have a noisier gradient than the others.
    batches = np.array_split(random.permutation(examples.num_rows), num_batches)
    num_at_once = max(1, rows_at_once(examples.num_bytes_a_row) // len(batches[0]))
    for first in range(0, num_batches, num_at_once):
        some = batches[first : first + num_at_once]
        hidden = random.random((sum(map(len, some)), len(examples.batch))) < HIDDEN_SHARE
        if first + len(some) > first_step:
            for number, share in enumerate(_taken(examples, some, hidden), start=first):
                if number >= first_step:
                    yield number, share


def _taken(examples: Examples, batches: Sequence[NDArray[np.int64]], hidden: NDArray[np.bool_]) -> Iterator[Share]:
    rank, num_ranks = parallel.own_rank(), parallel.num_ranks()
    starts = np.cumsum([0, *map(len, batches)])
    own = [np.arange(start + rank, end, num_ranks) for start, end in pairwise(starts)]
    places = np.concatenate(own)
    taken = examples.take(np.concatenate(batches)[places])
    for column, values in enumerate(taken.batch.values()):
        if values.dtype.kind in "iu":
            values[hidden[places, column]] = UNKNOWN_CODE
    ends = np.cumsum([0, *map(len, own)]).tolist()
    for number, (batch, (start, end)) in enumerate(zip(batches, pairwise(ends), strict=True), start=1):
        weight = (end - start) * num_ranks / len(batch)
        yield Share(
            block=taken,
            start=start,
            ends=ends[number:],
            weight=weight,
            num_rows_of_all=len(batch),
            fewest_rows=len(batch) // num_ranks,
        )


def rows_at_once(num_bytes_a_row: float) -> int:
    """How many rows of so many bytes to take or encode in one go."""
    return int(min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(num_bytes_a_row, 1)))
