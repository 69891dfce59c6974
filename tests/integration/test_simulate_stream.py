from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.errors import ContractError
from heliostat.simulate.delays import delay_quantile, differ_by_delay, due_rows
from heliostat.simulate.table import Roles, prepare

NUM_ROWS = 1000


def _table(**columns: object) -> pa.Table:
    generator = np.random.default_rng(0)
    plain = {"x": generator.normal(size=NUM_ROWS), "y": generator.integers(0, 2, NUM_ROWS)}
    return pa.table({**plain, **columns})


def _prepared(table: pa.Table, **roles: str):
    return prepare(table, Roles(label="y", **roles), first=0.3)


def test_without_times_the_file_order_counts_and_labels_are_known_after_their_step():
    stream = _prepared(_table()).stream
    assert (stream.step_rows, stream.first_rows) == (50, 300)
    assert stream.usable(6).tolist() == list(range(300))
    assert not np.isfinite(stream.labels_known(np.arange(300, 350), step=6)).any()


def test_rows_are_put_in_order_of_their_event_time():
    hours = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=NUM_ROWS - row) for row in range(NUM_ROWS)]
    x = np.arange(NUM_ROWS, dtype=float)
    stream = _prepared(_table(at=hours, x=x), event_time="at").stream
    assert stream.inputs["x"].to_pylist() == x[::-1].tolist()


def test_a_label_is_not_used_before_it_is_known_and_due():
    event = np.arange(NUM_ROWS, dtype=float)
    late = np.where(np.arange(NUM_ROWS) % 2, event + 120, event + 1)
    stream = _prepared(_table(at=event, told=late), event_time="at", label_time="told").stream
    for step in range(1, stream.num_steps + 1):
        now = event[stream.rows_at(step) - 1]
        assert (late[stream.usable(step)] <= now).all()
        # odd rows are told late: even ones may not be learned from any earlier, or the sample is one-sided
        if step > 6:
            share = (stream.usable(step) % 2).mean()
            assert share == pytest.approx(0.5, abs=0.02)


def test_a_due_time_alone_says_when_labels_are_known_row_by_row():
    event = np.arange(NUM_ROWS, dtype=float)
    due = np.where(np.arange(NUM_ROWS) % 2, event + 120, event + 1)
    stream = _prepared(_table(at=event, due=due), event_time="at", due_time="due").stream
    assert stream.inputs.column_names == ["x"]
    for step in range(1, stream.num_steps + 1):
        now = event[stream.rows_at(step) - 1]
        usable = stream.usable(step)
        assert (due[usable] <= now).all()
        assert len(usable) == stream.due_rows[step] == (due <= now).sum() - (due[stream.rows_at(step) :] <= now).sum()
        assert stream.falls_due(step).tolist() == sorted(set(usable) - set(stream.usable(step - 1)))


def test_a_label_that_comes_before_its_row_is_due_waits_for_that():
    event = np.arange(NUM_ROWS, dtype=float)
    stream = _prepared(
        _table(at=event, told=event + 1, due=event + 120), event_time="at", label_time="told", due_time="due"
    ).stream
    assert stream.usable(10).tolist() == list(range(380))
    assert np.isfinite(stream.labels_known(np.arange(380, 490), step=10)).all()


def test_a_row_without_a_due_time_is_never_learned_from():
    event = np.arange(NUM_ROWS, dtype=float)
    due = pa.array([None if row == 3 else float(row) for row in range(NUM_ROWS)], pa.float64())
    stream = _prepared(_table(at=event, due=due), event_time="at", due_time="due").stream
    assert {3, 4} & set(stream.usable(stream.num_steps)) == {4}


def test_a_row_without_a_label_time_is_never_learned_from():
    event = np.arange(NUM_ROWS, dtype=float)
    told = pa.array([None if row == 3 else float(row) for row in range(NUM_ROWS)], pa.float64())
    stream = _prepared(_table(at=event, told=told), event_time="at", label_time="told").stream
    assert 3 not in stream.usable(stream.num_steps)
    assert 4 in stream.usable(stream.num_steps)


def test_unlabelled_rows_count_as_long_delays_and_not_as_absent():
    event = np.zeros(100)
    half_told = np.where(np.arange(100) < 50, 1.0, 1000.0)
    assert delay_quantile(event, half_told, now=10.0) == np.inf
    assert delay_quantile(event, np.ones(100), now=10.0) == 1.0


def test_rows_that_never_get_a_label_do_not_keep_the_others_from_falling_due():
    event = np.arange(2000.0)
    generator = np.random.default_rng(0)
    told = np.where(generator.random(2000) < 0.1, np.nan, event + generator.exponential(50, 2000))
    due = due_rows(event, told, np.arange(0, 2001, 100))
    assert abs(due[-1] - (2000 - 50 * np.log(20))) < 40  # 95% of the labels that come have come then
    assert due_rows(event * 1e-3, told * 1e-3, np.arange(0, 2001, 100)).tolist() == due.tolist()


def test_what_is_due_does_not_depend_on_labels_told_later():
    event = np.arange(600.0)
    told = event + np.random.default_rng(0).exponential(40, 600)
    ends = np.arange(0, 601, 50)
    other = np.where(told > event[299], told + 1000, told)
    assert due_rows(event, told, ends)[:7].tolist() == due_rows(event, other, ends)[:7].tolist()


def _delayed(late_share: float):
    """Half of the labels come at once and are ones in 3 of 10; half come late, and are ones in `late_share` of them."""
    generator = np.random.default_rng(0)
    is_late = generator.random(NUM_ROWS) < 0.5
    event = np.arange(NUM_ROWS, dtype=float)
    told = event + np.where(is_late, generator.uniform(100, 500, NUM_ROWS), 0.0)
    y = (generator.random(NUM_ROWS) < np.where(is_late, late_share, 0.3)).astype(int)
    return _prepared(_table(at=event, told=told, y=y), event_time="at", label_time="told").stream


def test_labels_are_one_sided_while_late_ones_differ_and_nobody_knows_how_long_they_take():
    other, alike = _delayed(0.7), _delayed(0.3)
    last = other.num_steps
    assert other.is_due_known is not None
    assert not other.is_due_known[8:10].any()
    assert other.is_due_known[last]
    assert [other.is_one_sided(9), other.is_one_sided(last)] == [True, False]
    assert not alike.is_one_sided(9)


def test_labels_without_delays_are_never_one_sided():
    assert not differ_by_delay(np.arange(100.0), np.zeros(100, np.int64))
    assert not differ_by_delay(np.zeros(0), np.zeros(0, np.int64))
    assert differ_by_delay(np.arange(100.0), np.arange(100))


def test_every_kind_of_column_is_taken_or_left_out_with_a_sentence():
    table = _table(
        text=["a", None] * (NUM_ROWS // 2),
        flag=[True, None] * (NUM_ROWS // 2),
        constant=np.ones(NUM_ROWS),
        empty=pa.nulls(NUM_ROWS, pa.float64()),
        infinite=np.full(NUM_ROWS, np.inf),
        at=[datetime(2020, 1, 1, tzinfo=UTC)] * NUM_ROWS,
        parts=[[1, 2]] * NUM_ROWS,
        __index_level_0__=np.arange(NUM_ROWS),
        coded=pa.array(["u", "v"] * (NUM_ROWS // 2)).dictionary_encode(),
    )
    prepared = _prepared(table)
    assert prepared.stream.inputs.column_names == ["x", "text", "flag", "constant", "empty", "infinite", "coded"]
    assert prepared.stream.inputs["infinite"].null_count == NUM_ROWS
    assert sum("Left out" in remark for remark in prepared.remarks) == 3


def test_labels_of_any_two_values_become_zero_and_one_and_that_is_said():
    prepared = _prepared(_table(y=["no", "yes"] * (NUM_ROWS // 2)))
    assert prepared.stream.labels[:2].tolist() == [0.0, 1.0]
    assert any("'no' counts as 0 and 'yes' as 1" in remark for remark in prepared.remarks)


def test_a_missing_label_is_neither_zero_nor_one():
    y = pa.array([None if row == 7 else row % 2 for row in range(NUM_ROWS)])
    stream = _prepared(_table(y=y)).stream
    assert np.isnan(stream.labels[7])
    assert 7 not in stream.usable(stream.num_steps)


@pytest.mark.parametrize(
    ("columns", "roles", "said"),
    [
        ({"y": np.arange(NUM_ROWS)}, {}, "1,000 different values"),
        ({"y": np.zeros(NUM_ROWS)}, {}, "one value only"),
        ({}, {"event_time": "when"}, "no column 'when'"),
        ({"told": np.zeros(NUM_ROWS)}, {"label_time": "told"}, "needs an event time"),
        ({"y": [0] * 990 + [1] * 10}, {}, "of 1 kinds"),
        ({}, {"key": "x"}, "No column is left"),
        ({"y": pa.array([row % 2 if row < 350 else None for row in range(NUM_ROWS)])}, {}, "50 rows after the first"),
        ({}, {"key": "y"}, "two roles"),
        ({"at": [[1]] * NUM_ROWS}, {"event_time": "at"}, "cannot be read as a time"),
    ],
)
def test_a_table_that_cannot_be_played_is_refused_in_a_sentence(columns, roles, said):
    with pytest.raises(ContractError, match=said):
        _prepared(_table(**columns), **roles)


def test_too_few_rows_are_refused():
    with pytest.raises(ContractError, match="400 rows are too few"):
        _prepared(_table().slice(0, 400))
