"""Times of a table: read as they are meant, or refused in one sentence that says what to do."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from heliostat.errors import ContractError
from heliostat.event_times import INSTANT, instants_of
from heliostat.intake import take
from tests import toy

AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
FAR = 2**61


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([AT, None]), [AT, None]),
        (pa.array([AT.replace(tzinfo=None)]), [AT]),
        (pa.array([int(AT.timestamp())], pa.timestamp("s", "Europe/Berlin")), [AT]),
        (pa.array([date(2024, 3, 1)]), [AT.replace(hour=0)]),
        (pa.array(["2024-03-01T10:00:00Z", None]), [AT, None]),
        (pa.array(["2024-03-01T10:00:00Z", None]).dictionary_encode(), [AT, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_times_of_any_spelling_are_instants(values, expected):
    found = instants_of(pa.chunked_array([values]), name="read_at")
    assert (found.type, found.to_pylist()) == (INSTANT, expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([1_709_287_200]), "must hold instants, .*; it has the type int64. Cast it first."),
        (pa.array([1.5]), "it has the type double"),
        (pa.array([[1]]), "it has the type list<item: int64>"),
        (pa.array(["2024-03-01T10:00:00Z", "yesterday"]), "holds 'yesterday', which is no instant"),
        (pa.array(["2024-03-01T10:00:00"]), "holds '2024-03-01T10:00:00', which is no instant with a zone, such as"),
        (pa.array([0, FAR], pa.timestamp("s", "UTC")), f"holds {FAR} s since 1970, which is no instant"),
    ],
)
def test_what_is_no_time_is_refused_in_one_sentence_without_arrows_words(values, words):
    with pytest.raises(ContractError, match=words) as refused:
        instants_of(pa.chunked_array([values]), name="read_at")
    assert "cast" not in str(refused.value).lower().replace("cast it first", "")


def test_a_source_whose_times_are_numbers_is_told_which_column():
    month = toy.Machines(rows_per_part=20).read("2024-02")
    seconds = pa.array([int(at.timestamp()) for at in month["read_at"].to_pylist()])
    wrong = month.set_column(month.schema.get_field_index("read_at"), "read_at", seconds)
    with pytest.raises(ContractError, match="'read_at' must hold instants"):
        take(toy.workload, wrong, since=None, until=AT)
