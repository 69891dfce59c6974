"""Rows that are too many for memory, as pieces of files: in which order an epoch takes them, and who reads which.

Pieces are shuffled; so many as make a window are read together, and its rows shuffled. All follows from the seeds.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from heliostat.learn import shares
from heliostat.records import PIECE_ROWS, Piece

WINDOW_ROWS = 65_536
# At least so many batches come of a window, so that they can be of nearly equal size.
WINDOW_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Window:
    """Pieces whose rows are mixed, dealt to lanes; an epoch's batches from `first_batch` on come of it."""

    number: int
    lanes: tuple[tuple[Piece, ...], ...]
    first_batch: int
    num_batches: int

    def batch_sizes(self, lanes: Sequence[int]) -> NDArray[np.int64]:
        """How many rows of these lanes each of the window's batches has."""
        sizes = [_even_sizes(num_rows(self.lanes[lane]), self.num_batches) for lane in lanes]
        return np.asarray(np.sum(sizes, axis=0), np.int64)


def num_rows(pieces: Sequence[Piece]) -> int:
    """The rows of all pieces."""
    return sum(piece.num_rows for piece in pieces)


def num_batches(pieces: Sequence[Piece], batch_rows: int, *, num_lanes: int) -> int:
    """How many batches of about so many rows an epoch has, each with at least two rows of every lane."""
    # A lane has half the mean of all or more, and a window may have one batch more than its share.
    return shares.num_batches(num_rows(pieces), batch_rows, num_parts=num_lanes, least_rows=2 * shares.LEAST_ROWS)


def windows(pieces: Sequence[Piece], *, seeds: Sequence[int], batch_rows: int, num_lanes: int) -> list[Window]:
    """The windows of an epoch in order: every piece is in one of them, in one of its lanes.

    A worker reads whole lanes, so with as many lanes as there are workers at most, the batches do not depend on how
    many there are.
    """
    total, epoch_batches = num_rows(pieces), num_batches(pieces, batch_rows, num_lanes=num_lanes)
    dealt = _cut(pieces, max(1, total // (2 * num_lanes)))
    order = np.random.default_rng(list(seeds)).permutation(len(dealt))
    shuffled = [dealt[place] for place in order.tolist()]
    ends = np.cumsum([piece.num_rows for piece in shuffled])
    window_rows = max(WINDOW_ROWS, WINDOW_BATCHES * batch_rows, WINDOW_BATCHES * num_lanes * PIECE_ROWS)
    count = max(1, round(total / window_rows))
    starts = np.concatenate([[0], ends[:-1]])
    firsts = [*np.searchsorted(starts * count // total, np.arange(count)).tolist(), len(shuffled)]
    # Where each window begins, in batches: rounded, so that all together are as many as in any epoch.
    rows_before = np.concatenate([[0], ends])[firsts]
    batches = np.round(rows_before * epoch_batches / total).astype(int).tolist()
    return [
        Window(
            number=number,
            lanes=_lanes(shuffled[first:end], num_lanes),
            first_batch=batches[number],
            num_batches=batches[number + 1] - batches[number],
        )
        for number, (first, end) in enumerate(pairwise(firsts))
    ]


def _cut(pieces: Sequence[Piece], most_rows: int) -> list[Piece]:
    """The same rows in pieces of at most so many, so that there are some for every lane."""
    return [
        replace(piece, start=start, num_rows=min(most_rows, piece.start + piece.num_rows - start))
        for piece in pieces
        for start in range(piece.start, piece.start + piece.num_rows, most_rows)
    ]


def _lanes(pieces: Sequence[Piece], num_lanes: int) -> tuple[tuple[Piece, ...], ...]:
    """Each piece to the lane that has the fewest rows so far, so that every lane has half the mean or more.

    Dealt by turns, a lane could get short pieces alone, and some batches nothing of it.
    """
    found: list[list[Piece]] = [[] for _ in range(num_lanes)]
    rows_by_lane = [(0, lane) for lane in range(num_lanes)]
    for piece in pieces:
        held, lane = heapq.heappop(rows_by_lane)
        found[lane].append(piece)
        heapq.heappush(rows_by_lane, (held + piece.num_rows, lane))
    return tuple(map(tuple, found))


def order_in(window: Window, lanes: Sequence[int], *, seeds: Sequence[int]) -> NDArray[np.int64]:
    """The places of the rows of these lanes, one lane after the other, in the order in which batches take them."""
    starts = np.cumsum([0, *(num_rows(window.lanes[lane]) for lane in lanes)])
    parts = [
        np.array_split(start + _random(window, lane, seeds=seeds).permutation(int(end - start)), window.num_batches)
        for lane, (start, end) in zip(lanes, pairwise(starts), strict=True)
    ]
    return np.concatenate([part[batch] for batch in range(window.num_batches) for part in parts])


def hidden_in(
    window: Window, lanes: Sequence[int], *, seeds: Sequence[int], num_columns: int, share: float
) -> NDArray[np.bool_]:
    """Which values of these lanes' rows, one lane after the other, are hidden; shape (num_rows, num_columns)."""
    found = [
        _random(window, lane, 1, seeds=seeds).random((num_rows(window.lanes[lane]), num_columns)) < share
        for lane in lanes
    ]
    return np.concatenate(found)


def _random(window: Window, *parts: int, seeds: Sequence[int]) -> np.random.Generator:
    return np.random.default_rng([*seeds, window.number, *parts])


def _even_sizes(rows: int, parts: int) -> NDArray[np.int64]:
    """The sizes that `numpy.array_split` gives."""
    return rows // parts + (np.arange(parts) < rows % parts)
