"""A poisoned batch of labels, planted by one of two sources, is neither learned from nor judged by."""

from argparse import Namespace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import cohorts
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema
from jobs._entry import Job
from jobs._screen import KIND, screened
from tests.stage import START
from tests.toy_lake import answer, rows_of
from tests.toy_quick import workload

DAY = timedelta(days=1)
POISONED_AT = START + 24 * DAY


@pytest.fixture
def job(tmp_path):
    settings = Settings(home=tmp_path)
    catalog = Catalog(settings.catalog_url)
    catalog.create()
    lake = Lake(settings.lake_uri)
    return Job(
        settings=settings,
        module="tests.toy_quick",
        workload=workload,
        lake=lake,
        catalog=catalog,
        options=Namespace(by="admin"),
    )


def told_by(job, *, is_poisoned):
    """Six hundred rows on which the champion was sure and right; `mallory` turns her labels round at the end."""
    rows = rows_of(since=START, until=START + 31 * DAY)
    values = [0.0 if label is None else label for label in rows["label"].to_pylist()]
    ids = answer(job.lake, rows, probability=[0.97 if value else 0.03 for value in values])
    known_at = [at + 2 * DAY for at in rows["event_at"].to_pylist()]
    sources = ["http/ana" if place % 2 else "http/mallory" for place in range(len(ids))]
    turned = [
        1 - value if is_poisoned and source == "http/mallory" and at >= POISONED_AT else value
        for value, source, at in zip(values, sources, known_at, strict=True)
    ]
    labels = pa.table(
        {"id": ids, "value": turned, "known_at": known_at, "received_at": known_at, "source": sources}
    ).append_column("event_date", rows["event_at"].cast(pa.date32()))
    job.lake.append("toy", "labels", conform(labels, label_schema()), stream="recorder", sequence=1)
    return dict(zip(rows["key"].to_pylist(), values, strict=True))


def test_a_poisoned_batch_is_shut_out_and_told_once(job):
    truth = told_by(job, is_poisoned=True)
    as_of = START + 40 * DAY
    found = screened(job, as_of=as_of)
    assert {span["source"] for span in found} == {"http/mallory"}
    assert screened(job, as_of=as_of) == found
    entries = job.catalog.entries("toy", kind=KIND)
    assert len(entries) == len(found)
    assert "its labels are not learned from" in entries[0].payload["reason"]

    every = cohorts.training_rows(job.lake, workload, as_of=as_of)
    clean = cohorts.training_rows(job.lake, workload, as_of=as_of, shut_out=found)
    wrong = [truth[row["key"]] != row["label"] for row in every.select(["key", "label"]).to_pylist()]
    assert sum(wrong) > 50
    assert all(truth[row["key"]] == row["label"] for row in clean.select(["key", "label"]).to_pylist())
    assert pc.min(clean["event_at"]).as_py() == pc.min(every["event_at"]).as_py()


def test_honest_labels_are_all_learned_from(job):
    told_by(job, is_poisoned=False)
    assert screened(job, as_of=START + 40 * DAY) == []
    assert job.catalog.entries("toy", kind=KIND) == []


def test_what_was_shut_out_once_stays_out_when_it_has_grown_old(job):
    told_by(job, is_poisoned=True)
    found = screened(job, as_of=START + 40 * DAY)
    assert screened(job, as_of=START + 400 * DAY) == found
