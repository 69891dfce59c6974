import json
import pickle
from datetime import UTC, datetime

import pytest

from heliostat import records
from heliostat.answer_jobs import AnswerJob
from heliostat.bulk.pinning import Pin
from heliostat.store.staged import StagedFile

NOW = datetime(2013, 3, 1, 12, 30, 1, 250, tzinfo=UTC)
EXAMPLES = [
    records.BundleRef(uri="/bundles/1", hash="abc"),
    records.ModelVersion(
        workload="toy",
        number=1,
        run_id="run",
        candidate="all",
        kind="network",
        bundle_uri="/bundles/1",
        bundle_hash="abc",
        lineage={"seed": 1},
        scores={"auc": 0.7},
        by="admin",
        at=NOW,
    ),
    records.Route(epoch=2, champion=1, candidate=None, previous=None, share=0.25),
    records.Lease(name="steward/toy", holder="one", epoch=1, expires_at=NOW),
    records.JournalEntry(
        sequence=1, at=NOW, by="admin", kind="alert", workload=None, payload={}, previous_hash="0", hash="1"
    ),
    records.Run(
        run_id="run",
        workload="toy",
        job="train",
        params={},
        status="running",
        result=None,
        by="admin",
        started_at=NOW,
        ended_at=None,
    ),
    records.Application(workload="toy", config={"replicas": 2}, revision=1, at=NOW),
    records.Committed(sequence=1, num_predictions=2, watermark_at=NOW),
    records.KeyRecord(key_id="a", hash="b", role="viewer", name="c", workload=None),
    AnswerJob(
        job_id="j-1",
        workload="toy",
        by="caller-key",
        digest="d",
        folder="/lake/toy/_jobs/j-1",
        media_type="application/json",
        input_uri=None,
        callback_url=None,
        created_at=NOW,
        expires_at=NOW,
    ),
    Pin(workload="toy", number=1, bundle_uri="/bundles/1", bundle_hash="abc"),
    records.Piece(file="2024-01-01.arrow", batch=3, start=0, num_rows=1024),
    StagedFile(name="2024-01-01.arrow", num_rows=5000, first_at=NOW, last_at=NOW, digest="d"),
]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_survives_pickle_and_json(record):
    assert pickle.loads(pickle.dumps(record)) == record
    assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


def test_every_record_is_among_the_examples():
    assert {type(record) for record in EXAMPLES} == set(records.Record.__subclasses__())


def test_a_record_with_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="colour"):
        records.Route.from_json({"colour": "red"})
