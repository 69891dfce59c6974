"""The rows of a run as files: what is read of them, and what a folder holds whose list is not written."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.errors import LakeError
from heliostat.records import PIECE_ROWS
from heliostat.store import staged
from heliostat.store.staged import grouped

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = pa.table(
    {
        "key": [f"k{n:05d}" for n in range(5000)],
        "event_at": pa.array([START + timedelta(minutes=n) for n in range(5000)], pa.timestamp("us", tz="UTC")),
        "label": np.arange(5000) >= 4000,
    }
).cast(pa.schema([("key", pa.string()), ("event_at", pa.timestamp("us", tz="UTC")), ("label", pa.float64())]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("rows"))
    bounds = [(0, 1500), (1500, 2600), (2600, 5000)]
    files = [staged.write(folder, f"{start}.arrow", ROWS.slice(start, end - start)) for start, end in bounds]
    assert staged.opened(folder) is None
    staged.finish(folder, files)
    return staged.opened(folder)


@pytest.mark.parametrize(("first", "last"), [(0, 5000), (1499, 1501), (10, 11), (1024, 2048), (700, 4999), (30, 30)])
def test_any_span_of_rows_is_read_back(made, first, last):
    pieces = made.pieces(first, last)
    assert sum(piece.num_rows for piece in pieces) == last - first
    assert all(piece.start + piece.num_rows <= PIECE_ROWS for piece in pieces)
    if pieces:
        assert made.rows(first, last).equals(ROWS.slice(first, last - first))


def test_pieces_are_read_in_the_order_in_which_they_are_asked_for(made):
    pieces = made.pieces(0, 5000)
    mixed = [pieces[4], pieces[0], pieces[3], pieces[1]]
    keys = [staged.read_pieces([piece], folder=made.folder)["key"].to_pylist() for piece in mixed]
    assert staged.read_pieces(mixed, folder=made.folder)["key"].to_pylist() == [key for each in keys for key in each]


def test_rows_are_found_by_time(made):
    events = ROWS["event_at"].to_pylist()
    assert [made.at(row) for row in (0, 1499, 1500, 4999)] == [events[row] for row in (0, 1499, 1500, 4999)]
    instants = [START, START + timedelta(seconds=1), events[1500], events[2599], events[-1], START + timedelta(days=99)]
    assert [made.before(instant) for instant in instants] == [
        sum(at < instant for at in events) for instant in instants
    ]


def test_whether_labels_differ_is_said_of_the_span_alone(made):
    assert not made.labels_differ(0, 4000)
    assert not made.labels_differ(4000, 5000)
    assert made.labels_differ(3999, 4001)


def test_the_digest_names_content_and_span(made, tmp_path):
    spans = [(0, 1500), (1500, 2600), (2600, 5000)]
    files = [staged.write(str(tmp_path), f"{start}.arrow", ROWS.slice(start, end - start)) for start, end in spans]
    again = staged.finish(str(tmp_path), files)
    assert again.digest(0, 4000) == made.digest(0, 4000) != made.digest(0, 4001)
    other = staged.finish(str(tmp_path), [staged.write(str(tmp_path), "0.arrow", ROWS.slice(1, 100))])
    assert other.digest(0, 100) != made.digest(0, 100)


def test_rows_that_are_gone_are_said_so(made, tmp_path):
    with pytest.raises(LakeError, match="start it again under the same name"):
        staged.read_pieces(made.pieces(0, 10), folder=str(tmp_path))


def test_days_are_taken_together_up_to_a_number_of_rows():
    days = [date(2024, 1, day) for day in range(1, 7)]
    counts = dict(zip(days, [40, 50, 30, 500, 10, 90], strict=True))
    first, second, third, fourth = grouped(counts, most_rows=100)
    assert (first, second, third) == ((days[0], days[1]), (days[2], days[2]), (days[3], days[3]))
    assert fourth == (days[4], days[5])
    assert grouped({}, most_rows=100) == []
