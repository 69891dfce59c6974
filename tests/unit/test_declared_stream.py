"""A lived period as a stream: nothing is learned from before it was due and known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from heliostat.simulate.declared import Declared, declared_stream
from tests.toy import workload

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", tz="UTC")


def rows(num, *, since, due_after=6 * HOUR, known_after=2 * HOUR):
    event_at = [since + row * HOUR for row in range(num)]
    return pa.table(
        {
            "key": [f"{at:%d%H}" for at in event_at],
            "event_at": pa.array(event_at, INSTANT),
            "due_at": pa.array([at + due_after for at in event_at], INSTANT),
            "label": np.arange(num) % 2.0,
            "label_known_at": pa.array([at + known_after for at in event_at], INSTANT),
            "load_percent": np.full(num, 10.0),
            "temperature_c": np.full(num, 10.0),
            "site": ["alpha"] * num,
        }
    )


def made(**delays):
    return declared_stream(workload, rows(300, since=START - 400 * HOUR), rows(500, since=START, **delays), since=START)


def test_all_rows_before_the_period_are_the_first_part():
    stream = made()
    assert (stream.first_step, stream.first_rows, stream.step_rows, stream.num_steps) == (1, 300, 50, 11)
    assert [stream.rows_at(step) for step in (0, 1, 2, 11, 12)] == [0, 300, 350, 800, 800]
    assert stream.steps_of(np.array([0, 299, 300, 349, 350, 799])).tolist() == [1, 1, 2, 2, 3, 11]
    assert len(stream.usable(1)) == 300


def test_a_row_is_learned_from_once_it_is_due_and_its_label_is_known():
    # The step ends with the event of its last row; the six newest rows are not due by then.
    assert stream_rows(made(), step=2) == 350 - 6
    assert stream_rows(made(known_after=20 * HOUR), step=2) == 350 - 20
    assert stream_rows(made(known_after=1000 * HOUR), step=11) == 300


def stream_rows(stream, *, step):
    usable = stream.usable(step)
    assert usable.tolist() == list(range(len(usable)))
    return len(usable)


def test_a_row_that_is_due_late_keeps_no_later_row_from_teaching():
    asked = rows(500, since=START)
    late = pa.array([START + 5000 * HOUR, *asked["due_at"].to_pylist()[1:]], INSTANT)
    stream = declared_stream(
        workload, rows(300, since=START - 400 * HOUR), asked.set_column(2, "due_at", late), since=START
    )
    assert stream.usable(2).tolist() == [*range(300), *range(301, 344)]
    assert stream.due_rows[2] == 343


def test_a_row_from_before_the_period_teaches_once_its_label_came_within_it():
    history = rows(300, since=START - 300 * HOUR, due_after=20 * HOUR, known_after=60 * HOUR)
    stream = declared_stream(workload, history, rows(500, since=START), since=START)
    assert stream.usable(1).tolist() == list(range(300 - 59))
    assert stream.usable(2).tolist() == [*range(300 - 10), *range(300, 344)]
    assert stream.usable(3).tolist() == list(range(394))


def test_the_hold_out_has_as_many_rows_as_the_declared_span_had():
    found = Declared.of(workload, rows(400, since=START), window_rows=123)
    assert (found.window_rows, found.max_holdout_rows) == (123, 200)  # Loop(min_holdout_rows)
    busy = pa.concat_tables([rows(400, since=START)] * 3).sort_by("event_at")
    assert Declared.of(workload, busy, window_rows=1).max_holdout_rows == 3 * (7 * 24 + 1)
