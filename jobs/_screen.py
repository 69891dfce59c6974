"""Screens the labels that came since the last weeks, before anybody learns from them.

Reads:  lake: raw, predictions, labels; catalog: journal, aliases; bundles: the champion
Writes: catalog: journal
"""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from actors.shut_out import shut_out, suspected
from heliostat.cohorts import INGESTED
from heliostat.declared.revisions import renamed_since
from heliostat.errors import TrainingError
from heliostat.learn.bundle import ServedModel
from heliostat.learn.told_answers import told_answers
from heliostat.store.bundles import read_bundle
from heliostat.store.schema import raw_schema
from heliostat.told_labels import SPAN, TOLD, about_sure, answered, counted
from jobs import _entry


def screened(job: _entry.Job, *, as_of: datetime) -> list[dict[str, str]]:
    """Sources and spans whose labels are not learned from: those found now, told in the journal, and those before."""
    name, task = job.workload.name, job.workload.task
    rows = pa.concat_tables([answered(job.lake, name, task=task, as_of=as_of), _ingested(job, as_of=as_of)])
    told = counted(rows, span=job.workload.loop.window)
    for found in suspected(job.catalog, name, told, max_contradicted=job.workload.loop.max_contradicted, by=job.by):
        print(f"labels: {found.reason}", flush=True)
    return shut_out(job.catalog, name)


def _ingested(job: _entry.Job, *, as_of: datetime) -> pa.Table:
    """Labels that came with ingested rows which the champion has not learned from, beside what it says to the rows."""
    name = job.workload.name
    number = job.catalog.aliases(name).get("champion")
    if number is None or job.workload.asks:
        return TOLD.empty_table()
    version = job.catalog.version(name, number)
    last_event_at = version.lineage.get("last_event_at")
    since = max(as_of - SPAN, as_of if last_event_at is None else datetime.fromisoformat(last_event_at))
    where = [("event_date", ">=", since.date()), ("event_at", ">", since), ("label_known_at", "<=", as_of)]
    rows = job.lake.read(name, "raw", where=where, schema=raw_schema(job.workload.logged_columns))
    rows = rows.filter(pc.is_valid(rows["label"]))
    if not rows.num_rows:
        return TOLD.empty_table()
    model = ServedModel.load(read_bundle(version.bundle_uri, version.bundle_hash))
    try:
        answers = told_answers(model, rows, renamed=renamed_since(job.workload.earlier), version=number)
    except TrainingError as error:  # who cannot answer says nothing of labels, and must not stop a successor's training
        print(f"labels: those that were ingested are not screened: {error}", flush=True)
        return TOLD.empty_table()
    sources = pa.chunked_array([pa.array([INGESTED] * rows.num_rows)])
    return about_sure(job.workload.task, sources, rows["label_known_at"], rows["label"], answers)
