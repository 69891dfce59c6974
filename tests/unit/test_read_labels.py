"""Labels as callers send them: what each field may be, and one spelling of an id."""

from datetime import UTC, datetime

import pytest

from heliostat.errors import ContractError
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


@pytest.mark.parametrize(("length", "is_kept"), [(1000, True), (1001, False)])
def test_a_key_that_no_prediction_can_have_is_refused(length, is_kept):
    document = {"labels": [{"key": "k" * length, "value": 1}]}
    if is_kept:
        assert read_labels(document, received_at=NOW)[0].key == "k" * length
        return
    with pytest.raises(ContractError, match="label 0: key may have 1000 characters; got 1001"):
        read_labels(document, received_at=NOW)
