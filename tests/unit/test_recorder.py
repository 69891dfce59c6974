"""When the recorder rests, and how it finds what it has committed before."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from actors.recorder import BUSY_SHARE, LONGEST_PAUSE_S, SHORTEST_PAUSE_S, pause_s
from heliostat.store.duplicates import KnownRows, prediction_identities
from heliostat.store.stamps import event_dates, stamped

START = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("step_s", "expected_s"),
    [(0.0, SHORTEST_PAUSE_S), (0.01, SHORTEST_PAUSE_S), (0.1, 0.1 / BUSY_SHARE), (60.0, LONGEST_PAUSE_S)],
)
def test_a_recorder_rests_longer_after_longer_work_within_bounds(step_s, expected_s):
    assert pause_s(step_s) == expected_s


def rows_of(*ids):
    rows = pa.table({"id": pa.array(ids), "event_at": pa.array([START] * len(ids), pa.timestamp("us", tz="UTC"))})
    return stamped(rows, event_dates(rows), stream="test", sequence=1)


def test_a_committed_prediction_is_not_fresh_again_however_many_are_known():
    known = KnownRows(prediction_identities, lambda _: rows_of(*(str(number) for number in range(5000))))
    assert known.fresh(rows_of("17", "new", "4999", "new")).column("id").to_pylist() == ["new"]
    known.add(rows_of("new"))
    assert known.fresh(rows_of("new", "newer")).column("id").to_pylist() == ["newer"]
