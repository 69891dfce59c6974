"""Every worker has two rows or more of every batch, and of every piece of one, however the rows divide."""

from dataclasses import replace

import numpy as np
import pytest

from heliostat.errors import TrainingError
from heliostat.learn import epoch_windows, parallel
from heliostat.learn.examples import Examples
from heliostat.learn.prepare import Preparation
from heliostat.learn.shares import InMemory
from heliostat.records import Piece
from tests.toy import workload
from tests.toy_rows import labelled_rows

ROWS = labelled_rows("2024-01", rows_per_part=700)


def as_rank(monkeypatch, rank: int, num_ranks: int) -> None:
    monkeypatch.setattr(parallel, "own_rank", lambda: rank)
    monkeypatch.setattr(parallel, "num_ranks", lambda: num_ranks)


def feed(num_rows: int, most_ranks: int) -> InMemory:
    rows = ROWS.slice(0, num_rows)
    return InMemory(Examples.of(rows, Preparation.fit(rows, workload.columns)), most_ranks=most_ranks)


@pytest.mark.parametrize("num_rows", [482, 483, 485, 487])
@pytest.mark.parametrize(("most_ranks", "batch_rows"), [(2, 4), (4, 8), (3, 7)])
def test_rows_in_memory_are_parted_into_the_same_batches_with_two_rows_for_each_of_any_number_of_workers(
    monkeypatch, num_rows, most_ranks, batch_rows
):
    whole: dict[int, list[int]] = {}
    for num_ranks in range(1, most_ranks + 1):
        found: dict[int, list[int]] = {}
        for rank in range(num_ranks):
            as_rank(monkeypatch, rank, num_ranks)
            for number, share in feed(num_rows, most_ranks).shares(seeds=[1, 0], batch_rows=batch_rows):
                assert share.num_rows >= share.fewest_rows >= 2
                found.setdefault(number, []).extend(share.examples.positions.tolist())
        found = {number: sorted(places) for number, places in found.items()}
        assert found == (whole := whole or found)
    assert sorted(place for places in whole.values() for place in places) == list(range(num_rows))


def test_one_worker_may_still_learn_from_one_row_at_a_time():
    assert feed(5, 1).num_batches(1) == 5


def test_too_few_rows_for_all_workers_are_told():
    with pytest.raises(TrainingError, match="7 rows cannot be parted among up to 4 workers; ingest more, or lower"):
        feed(7, 4).num_batches(8)


@pytest.mark.parametrize("num_lanes", [2, 3, 8])
@pytest.mark.parametrize("piece_rows", [1, 7, 64])
def test_streamed_rows_are_dealt_so_that_every_batch_has_two_rows_of_every_lane(monkeypatch, num_lanes, piece_rows):
    monkeypatch.setattr(epoch_windows, "WINDOW_ROWS", 256)
    monkeypatch.setattr(epoch_windows, "PIECE_ROWS", piece_rows)
    batch_rows = 4 * num_lanes
    for num_rows in [batch_rows, batch_rows + 1, 10 * batch_rows - 1, 1999, 2000, 2001]:
        starts = range(0, num_rows, piece_rows)
        pieces = [Piece(file="x", batch=0, start=at, num_rows=min(piece_rows, num_rows - at)) for at in starts]
        expected = epoch_windows.num_batches(pieces, batch_rows, num_lanes=num_lanes)
        for seed in range(5):
            made = epoch_windows.windows(pieces, seeds=[seed], batch_rows=batch_rows, num_lanes=num_lanes)
            assert sum(window.num_batches for window in made) == expected
            sizes = [window.batch_sizes([lane]) for window in made for lane in range(num_lanes)]
            assert np.concatenate(sizes).min() >= 2


@pytest.mark.parametrize("rows_by_rank", [(5, 9), (4, 4), (3, 12)])
def test_workers_cut_shares_of_different_sizes_into_as_many_pieces_of_two_rows_or_more(rows_by_rank):
    [(_, share)] = feed(20, 1).shares(seeds=[1, 0], batch_rows=20)
    found = []
    for num_rows in rows_by_rank:
        own = replace(share, ends=(num_rows,), fewest_rows=min(rows_by_rank), num_rows_of_all=sum(rows_by_rank))
        pieces = own.pieces(8)
        assert min(piece.num_rows for piece in pieces) >= 2
        assert sum(piece.num_rows for piece in pieces) == num_rows
        found.append(len(pieces))
    assert len(set(found)) == 1
