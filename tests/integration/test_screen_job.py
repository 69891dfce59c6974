"""A poisoned batch of labels, planted by one of two sources, is neither learned from nor judged by."""

from argparse import Namespace
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import Trees, cohorts
from heliostat.errors import WorkloadError
from heliostat.govern.quarantine import RELEASED, SUSPECTED
from heliostat.learn import bundle
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.settings import Settings
from heliostat.store.bundles import write_bundle
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, raw_schema
from heliostat.watch.profile import Profile
from jobs._entry import Job
from jobs._screen import screened
from jobs.quarantine import quarantine
from tests import toy_turns
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
    entries = job.catalog.entries("toy", kind=SUSPECTED)
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
    assert job.catalog.entries("toy", kind=SUSPECTED) == []


def test_what_was_shut_out_once_stays_out_when_it_has_grown_old(job):
    told_by(job, is_poisoned=True)
    found = screened(job, as_of=START + 40 * DAY)
    assert screened(job, as_of=START + 400 * DAY) == found


def test_a_release_makes_the_labels_count_again_and_they_are_not_suspected_a_second_time(job, capsys):
    told_by(job, is_poisoned=True)
    as_of = START + 40 * DAY
    assert screened(job, as_of=as_of)
    released = quarantine(asking(job, release="http/mallory", why="the meter was right"))
    assert released["shut_out"] == []
    assert "no labels are shut out" in capsys.readouterr().out
    assert screened(job, as_of=as_of) == []
    [entry] = job.catalog.entries("toy", kind=RELEASED)
    assert entry.payload["reason"] == "released by admin: the meter was right"
    with pytest.raises(WorkloadError, match="those of nobody are"):
        quarantine(asking(job, release="http/mallory"))


def test_a_source_that_is_kept_out_teaches_nothing_from_then_on(job):
    told_by(job, is_poisoned=False)
    as_of = START + 40 * DAY
    quarantine(asking(job, keep_out="http/ana", since=START + 10 * DAY))
    found = screened(job, as_of=as_of)
    assert [(span["source"], span["since"]) for span in found] == [("http/ana", (START + 10 * DAY).isoformat())]
    kept = cohorts.training_rows(job.lake, workload, as_of=as_of, shut_out=found)
    every = cohorts.training_rows(job.lake, workload, as_of=as_of)
    assert 0 < kept.num_rows < every.num_rows
    assert pc.max(kept["label_known_at"]).as_py() > START + 20 * DAY  # what the other source told


def asking(job, **given):
    nothing = {"release": None, "keep_out": None, "since": None, "until": None, "why": "", "by": "admin"}
    return replace(job, options=Namespace(**nothing | given))


@pytest.fixture
def sure_champion(job):
    """A version that learned from January and February that a load above one half breaks a machine, always."""
    rows = broken_by_load(rows_of(since=None, until=START))
    certain = replace(toy_turns.workload, trees=Trees(rounds=150, threads=1))
    fitted = fit_trees(certain, *split_by_time(rows, share=0.1), seed=0)
    answers = bundle.served(certain, fitted).answers(rows)
    profile = Profile.fit(rows, certain.columns, answers=answers, task=certain.task, window=DAY).to_json()
    lineage = {"num_rows": rows.num_rows, "last_event_at": pc.max(rows["event_at"]).as_py().isoformat()}
    files = bundle.to_files("tests.toy_turns", fitted, profile=profile, lineage=lineage)
    ref = write_bundle(job.settings.bundles_uri, files)
    named = {"bundle_uri": ref.uri, "bundle_hash": ref.hash, "lineage": lineage, "scores": {}}
    job.catalog.register("toy", run_id="first", candidate="all", kind="trees", by="admin", at=START, **named)
    job.catalog.promote("toy", 1, reasons=(), inputs={}, by="admin", at=START)


def broken_by_load(rows, *, turned_from=None):
    """The rows with a label that follows from the load, the other way round from an instant on, known a day later."""
    event_at = rows["event_at"].to_pylist()
    is_turned = np.array([turned_from is not None and at >= turned_from for at in event_at])
    labels = ((np.array(rows["load_percent"].to_pylist()) > 50) ^ is_turned).astype(float)
    known_at = pa.array([at + DAY for at in event_at], rows["event_at"].type)
    rows = rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(labels))
    return rows.set_column(rows.schema.get_field_index("label_known_at"), "label_known_at", known_at)


def ingested(job, rows):
    dated = rows.append_column("event_date", rows["event_at"].cast(pa.date32()))
    job.lake.append("toy", "raw", conform(dated, raw_schema(workload.columns)), stream="ingest", sequence=1)


@pytest.mark.usefixtures("sure_champion")
def test_ingested_labels_that_contradict_the_champion_are_shut_out_where_others_agree(job):
    told_by(job, is_poisoned=False)  # the other sources, who agree
    ingested(job, broken_by_load(rows_of(since=START, until=START + 31 * DAY), turned_from=POISONED_AT))
    as_of = START + 40 * DAY
    found = screened(job, as_of=as_of)
    assert {span["source"] for span in found} == {cohorts.INGESTED}
    assert min(span["since"] for span in found) >= (POISONED_AT - 2 * DAY).isoformat()
    kept = cohorts.training_rows(job.lake, workload, as_of=as_of, shut_out=found)
    every = cohorts.training_rows(job.lake, workload, as_of=as_of)
    assert every.num_rows - kept.num_rows > 80


@pytest.mark.usefixtures("sure_champion")
def test_ingested_labels_as_the_champion_expects_them_are_all_learned_from(job):
    told_by(job, is_poisoned=False)
    ingested(job, broken_by_load(rows_of(since=START, until=START + 31 * DAY)))
    assert screened(job, as_of=START + 40 * DAY) == []
