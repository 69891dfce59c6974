"""Labels as callers send them: what each field may be, and one spelling of an id."""

from datetime import UTC, datetime

import pytest

from heliostat.ids import prediction_id
from heliostat.serving.labels import read_labels

NOW = datetime(2024, 3, 1, tzinfo=UTC)
ID = prediction_id("caller/r", 0, event_at=NOW)


@pytest.mark.parametrize(
    "spelled", [ID, ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"], ids=lambda one: one[:9]
)
def test_an_id_is_kept_as_it_was_answered_however_it_is_spelled(spelled):
    [label] = read_labels({"labels": [{"id": spelled, "value": 1}]}, received_at=NOW)
    assert label.id == ID
