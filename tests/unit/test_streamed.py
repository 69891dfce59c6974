"""Rows that are read again in every epoch: which come when, and what is known of all of them."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Batch, Number, Quantity, Text, Vector, Workload
from heliostat.errors import TrainingError
from heliostat.learn import epoch_windows, streamed, summary
from heliostat.learn.epoch_windows import windows
from heliostat.learn.epochs import Learner
from heliostat.learn.fit import fit, refit
from heliostat.learn.network import tensor
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import named, ordered, split_by_time
from heliostat.learn.streamed import Stream, Streamed
from heliostat.learn.window_portions import Portion
from heliostat.records import Piece
from tests.toy import workload
from tests.toy_rows import labelled_rows

QUICK = replace(workload, training=replace(workload.training, epochs=3, batch_size=64))
TRAIN, LATER = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=800), share=0.2)


def cut(table: pa.Table, *, rows_per_piece: int = 100) -> Streamed:
    """A table as streamed rows; "files" of three pieces each, the last piece short."""
    table = table.sort_by([("event_at", "ascending"), ("key", "ascending")])
    starts = range(0, table.num_rows, rows_per_piece)
    made = [
        Piece(file=str(n // 3), batch=n % 3, start=0, num_rows=min(rows_per_piece, table.num_rows - s))
        for n, s in enumerate(starts)
    ]

    def read(wanted):
        assert wanted
        firsts = [(int(one.file) * 3 + one.batch) * rows_per_piece + one.start for one in wanted]
        return pa.concat_tables([table.slice(first, one.num_rows) for first, one in zip(firsts, wanted, strict=True)])

    return Streamed(pieces=tuple(made), read=read, digest=f"{table.num_rows}")


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of a few hundred rows."""
    monkeypatch.setattr(epoch_windows, "WINDOW_ROWS", 300)
    monkeypatch.setattr(epoch_windows, "PIECE_ROWS", 20)
    monkeypatch.setattr(epoch_windows, "WINDOW_BATCHES", 4)


def stream(rows=TRAIN, *, num_lanes=1, own=QUICK) -> Stream:
    made = cut(rows)
    found = Preparation.fit(ordered(rows, own, purpose="training"), own.columns)
    return Stream(rows=made, columns=tuple(own.columns), preparation=found, num_lanes=num_lanes)


def as_rank(monkeypatch, rank: int, num_ranks: int) -> None:
    monkeypatch.setattr(streamed.parallel, "own_rank", lambda: rank)
    monkeypatch.setattr(streamed.parallel, "num_ranks", lambda: num_ranks)


def keys_of(share) -> list[str]:
    return share.examples.origin.rows["key"].take(share.examples.positions).to_pylist()


def batches(feed: Stream, *, epoch=0, first_step=0, batch_rows=64):
    """The keys of each batch by its number."""
    found = feed.shares(seeds=[1, epoch], batch_rows=batch_rows, first_step=first_step)
    return {
        number: share.examples.origin.rows["key"].take(share.examples.positions).to_pylist() for number, share in found
    }


def test_an_epoch_takes_every_row_once_in_batches_of_nearly_one_size(small_windows):
    found = batches(stream())
    assert list(found) == list(range(stream().num_batches(64)))
    assert len(windows(cut(TRAIN).pieces, seeds=[1, 0], batch_rows=64, num_lanes=1)) > 2
    assert Counter(key for keys in found.values() for key in keys) == Counter(TRAIN["key"].to_pylist())
    sizes = [len(keys) for keys in found.values()]
    assert min(sizes) > 0.8 * max(sizes)


def test_the_order_follows_from_the_seeds_and_is_another_in_every_epoch(small_windows):
    assert batches(stream()) == batches(stream())
    first, second = batches(stream()), batches(stream(), epoch=1)
    assert first[0] != second[0]
    # Neither the order of the files: rows of one batch lie far apart in time.
    places = {key: place for place, key in enumerate(cut(TRAIN).read(cut(TRAIN).pieces)["key"].to_pylist())}
    assert np.ptp([places[key] for key in first[0]]) > TRAIN.num_rows / 4


def test_a_fit_that_goes_on_inside_an_epoch_reads_nothing_of_the_windows_before(small_windows):
    feed = stream()
    whole, plan = batches(feed), windows(feed.rows.pieces, seeds=[1, 0], batch_rows=64, num_lanes=1)
    read: list[Portion] = []

    def deliver(portions, load):
        read.extend(portions)
        return map(load, portions)

    first_step = plan[1].first_batch + 2
    rest = batches(replace(feed, rows=replace(feed.rows, deliver=deliver)), first_step=first_step)
    assert rest == {number: keys for number, keys in whole.items() if number >= first_step}
    assert [portion.window.number for portion in read] == [one.number for one in plan[1:]]


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_however_many_workers_share_the_lanes_the_batches_are_the_same(small_windows, monkeypatch, num_ranks):
    feed = stream(num_lanes=4)
    whole = {number: sorted(keys) for number, keys in batches(feed).items()}
    found, weights = {}, {}
    for rank in range(num_ranks):
        as_rank(monkeypatch, rank, num_ranks)
        for number, share in feed.shares(seeds=[1, 0], batch_rows=64):
            keys = keys_of(share)
            found.setdefault(number, []).extend(keys)
            weights.setdefault(number, []).append(share.weight)
            assert share.weight == pytest.approx(len(keys) * num_ranks / share.num_rows_of_all)
    assert {number: sorted(keys) for number, keys in found.items()} == whole
    # Their mean over workers is one, so that the mean of gradients is that of the batch.
    assert all(np.mean(each) == pytest.approx(1) for each in weights.values())


def test_hidden_categories_do_not_depend_on_how_many_workers_there_are(small_windows, monkeypatch):
    def hidden(num_ranks):
        found = {}
        for rank in range(num_ranks):
            as_rank(monkeypatch, rank, num_ranks)
            for _, share in stream(num_lanes=2).shares(seeds=[1, 0], batch_rows=64):
                keys = keys_of(share)
                found |= dict(zip(keys, share.examples.batch["site"].tolist(), strict=True))
        return found

    alone = hidden(1)
    assert alone == hidden(2)
    share_hidden = np.mean(np.array(list(alone.values())) == 0)
    assert 0.005 < share_hidden < 0.08


def test_blocks_may_come_cut_in_any_way(small_windows):
    feed = stream()

    def in_crumbs(portions, load):
        for portion in portions:
            table = load(portion)
            yield from (table.slice(start, 37) for start in range(0, table.num_rows, 37))

    assert batches(replace(feed, rows=replace(feed.rows, deliver=in_crumbs))) == batches(feed)


def test_rows_that_do_not_end_where_a_window_does_end_the_fit(small_windows):
    def in_one(portions, load):
        yield pa.concat_tables([load(portion) for portion in portions])

    feed = stream()
    with pytest.raises(TrainingError, match=r"rows of a window 1,\d+ came"):
        batches(replace(feed, rows=replace(feed.rows, deliver=in_one)))


def test_few_rows_among_many_workers_are_cut_until_each_has_some():
    feed = stream(TRAIN.slice(0, 120), num_lanes=16)
    (window,) = windows(feed.rows.pieces, seeds=[0], batch_rows=64, num_lanes=16)
    assert min(epoch_windows.num_rows(lane) for lane in window.lanes) > 0
    with pytest.raises(TrainingError, match="12 rows cannot be parted among up to 16 workers"):
        windows(cut(TRAIN.slice(0, 12)).pieces, seeds=[0], batch_rows=64, num_lanes=16)


def test_no_worker_gets_short_pieces_alone():
    # As an epoch of rows in two files has them, each with a short end.
    ends = [Piece(file=name, batch=32, start=0, num_rows=3) for name in "ab"]
    given = [*(Piece(file="a", batch=n, start=0, num_rows=1024) for n in range(32)), *ends]
    for epoch in range(200):
        (window,) = windows(given, seeds=[0, epoch], batch_rows=512, num_lanes=16)
        rows = [epoch_windows.num_rows(lane) for lane in window.lanes]
        assert min(rows) >= np.mean(rows) / 2
        assert min(window.batch_sizes([lane]).min() for lane in range(16)) > 0


def test_what_is_known_of_all_rows_is_what_a_fit_in_memory_knows():
    rows = ordered(TRAIN, QUICK, purpose="training")
    found = summary.Summary(QUICK, cut(TRAIN))
    assert found.preparation() == Preparation.fit(rows, QUICK.columns)
    assert found.constant == pytest.approx(QUICK.task.constant(rows["label"].to_numpy()))
    assert (found.first_event_at, found.last_event_at) == (
        min(rows["event_at"].to_pylist()),
        max(rows["event_at"].to_pylist()),
    )


def test_of_many_rows_extremes_and_levels_are_exact_though_few_are_held(monkeypatch):
    monkeypatch.setattr(summary, "MOST_DRAWN", 60)
    rows = ordered(TRAIN, QUICK, purpose="training")
    whole, found = Preparation.fit(rows, QUICK.columns), summary.Summary(QUICK, cut(TRAIN))
    assert found.drawn.num_rows <= 60
    made = found.preparation()
    assert made.categories == whole.categories
    for own, exact in zip(made.numbers, whole.numbers, strict=True):
        assert (own.low, own.high, own.missing_seen) == (exact.low, exact.high, exact.missing_seen)
        assert own.edges[0] == exact.low
        assert own.edges[-1] == exact.high
        assert abs(own.median - exact.median) < 0.3 * (exact.high - exact.low)


def test_vectors_texts_and_quantities_come_through_as_they_are():
    columns = (
        Vector("place", 3),
        Text("note", num_buckets=64, most_terms=4),
        Number("load", low=0, high=1000, optional=True),
    )

    def encode(batch: Batch):
        return {"x": tensor(batch["place"]), "words": torch.from_numpy(batch["note"])}

    own = Workload(
        name="kinds",
        source=workload.source,
        key="key",
        event_time="event_at",
        label_time="known_at",
        columns=columns,
        label=Quantity("minutes"),
        encode=encode,
        model=lambda sizes: torch.nn.Linear(3, 1),
    )
    random, num_rows = np.random.default_rng(3), 250
    places = random.normal(size=(num_rows, 3)).astype(np.float32).tolist()
    table = pa.table(
        {
            "key": [f"k{n:04d}" for n in range(num_rows)],
            "event_at": pa.array([datetime(2024, 1, 1 + n // 25, n % 24, tzinfo=UTC) for n in range(num_rows)]),
            "label": random.normal(size=num_rows) * 7,
            "place": pa.array(places, pa.list_(pa.float32())),
            "note": [f"word{n % 7} again" for n in range(num_rows)],
            "load": [None if n % 9 == 0 else float(n) for n in range(num_rows)],
        }
    )
    rows = named(table, columns, purpose="training")
    found = summary.Summary(own, cut(table))
    exact = Preparation.fit(rows, columns)
    assert found.preparation().numbers == exact.numbers
    np.testing.assert_allclose(found.preparation().vectors[0].mean, exact.vectors[0].mean, atol=1e-7)
    np.testing.assert_allclose(found.constant, own.task.constant(rows["label"].to_numpy()))
    prepared = dict(zip(table["key"].to_pylist(), zip(*exact.prepare(rows).values(), strict=True), strict=True))
    feed = Stream(rows=cut(table), columns=columns, preparation=exact, num_lanes=1)
    for _, share in feed.shares(seeds=[0, 0], batch_rows=50):
        keys = keys_of(share)
        for place, key in enumerate(keys):
            load, vector, text = prepared[key]
            np.testing.assert_array_equal(share.examples.batch["place"][place], vector)
            np.testing.assert_array_equal(share.examples.batch["load"][place], load)
            words = share.examples.batch["note"][place]
            assert (words == text).all() or not words.any()  # some are hidden


def test_a_streamed_fit_is_about_as_good_as_one_in_memory(small_windows):
    whole, found = fit(QUICK, TRAIN, LATER, seed=1), fit(QUICK, cut(TRAIN), LATER, seed=1)
    assert found.preparation == whole.preparation
    assert found.num_rows == whole.num_rows
    assert found.history[-1].validation_loss == pytest.approx(whole.history[-1].validation_loss, abs=0.02)
    assert found.history[-1].validation_loss < found.history[0].validation_loss


def test_a_streamed_fit_that_is_lost_inside_an_epoch_ends_with_the_same_weights(small_windows):
    often = replace(QUICK, training=replace(QUICK.training, checkpoint_steps=5))
    states = []
    whole = fit(often, cut(TRAIN), LATER, seed=1, on_epoch=states.append)
    inside = [state for state in states if state.num_steps]
    assert len(inside) > 6
    for state in (inside[0], inside[len(inside) // 2], inside[-1]):
        found = fit(often, cut(TRAIN), LATER, seed=1, resume=state)
        assert all(torch.equal(found.weights[name], whole.weights[name]) for name in whole.weights)
        assert found.history == whole.history


def test_a_checkpoint_of_other_rows_is_refused():
    states = []
    fit(QUICK, cut(TRAIN), LATER, seed=1, on_epoch=states.append)
    with pytest.raises(TrainingError, match="was made from other rows"):
        fit(QUICK, cut(TRAIN.slice(1)), LATER, seed=1, resume=states[0])


def test_a_refit_of_streamed_rows_is_fitted_to_all_of_them(small_windows):
    first = fit(QUICK, cut(TRAIN), LATER, seed=1)
    rows = pa.concat_tables([TRAIN, LATER])
    again = refit(QUICK, cut(rows), num_epochs=2, calibration=first.calibration, seed=1)
    assert (again.num_rows, again.best_epoch) == (rows.num_rows, 1)
    assert again.last_event_at == max(rows["event_at"].to_pylist())


def test_a_row_that_makes_the_loss_nan_is_named_though_it_was_not_drawn(small_windows, monkeypatch):
    load = TRAIN["load_percent"].to_numpy().copy()
    load[778] = 99.75  # no other row has it
    odd = TRAIN.set_column(TRAIN.schema.get_field_index("load_percent"), "load_percent", pa.array(load))

    def encode(batch: Batch):
        encoded = dict(workload.encode(batch))
        encoded["numbers"][torch.from_numpy(batch["load_percent"] == 99.75)] = float("nan")
        return encoded

    monkeypatch.setattr(summary, "MOST_DRAWN", 60)
    # As on a GPU, where no step waits for its loss.
    monkeypatch.setattr(Learner, "_refuse_not_finite", lambda *_, **__: None)
    with pytest.raises(TrainingError, match=f"encode gives nan in 'numbers' for the row with key '{odd['key'][778]}'"):
        fit(replace(QUICK, encode=encode), cut(odd), LATER, seed=1)


def test_streamed_labels_that_are_all_alike_or_none_of_the_kind_are_refused():
    alike = TRAIN.set_column(TRAIN.schema.get_field_index("label"), "label", pa.array([1.0] * TRAIN.num_rows))
    with pytest.raises(TrainingError, match="are all 1; both 0 and 1 must occur"):
        fit(QUICK, cut(alike), LATER, seed=1)
    labels = TRAIN["label"].to_numpy().copy()
    labels[500] = 7.0
    odd = TRAIN.set_column(TRAIN.schema.get_field_index("label"), "label", pa.array(labels))
    with pytest.raises(TrainingError, match=r"is 7, and 1 of [\d,]+ training rows"):
        fit(QUICK, cut(odd), LATER, seed=1)
