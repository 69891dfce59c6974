"""`jobs.report` and the picture of `jobs.compare` for classes and quantities, on lakes made here."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from threadpoolctl import threadpool_limits

from heliostat.ids import prediction_id
from heliostat.intake import take
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema, prediction_schema, raw_schema, shadow_schema
from jobs import compare
from jobs._entry import Job
from jobs.report import report
from tests import toy_kinds
from tests.integration.kinds_fixture import bundle_of

SINCE, END, FAR = (datetime(year, month, 1, tzinfo=UTC) for year, month in ((2024, 3), (2024, 4), (2200, 1)))
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module", params=["wear", "cause"])
def played(request, tmp_path_factory):
    """A job on two months of history and one that was answered: by one version, with another in the shadow."""
    home, name = tmp_path_factory.mktemp(request.param), request.param
    workload, lake = getattr(toy_kinds, name), Lake(str(home / "lake"))
    rows = pa.concat_tables(
        [take(workload, workload.source.read(part), since=None, until=FAR).good for part in workload.source.parts()[:3]]
    )
    is_old = pc.less(rows["event_at"], pa.scalar(SINCE, rows["event_at"].type))
    lake.append(name, "raw", dated(rows.filter(is_old), raw_schema(workload.columns)), stream="ingest", sequence=1)
    asked = rows.filter(pc.and_(pc.invert(is_old), pc.is_valid(rows["label"])))
    fill(lake, workload, asked)
    settings, catalog = Settings(home=home), Catalog(f"sqlite:///{home}/catalog.db")
    catalog.create()
    given = {"run_id": "r", "candidate": "c", "kind": "network", "scores": {}, "by": "test", "at": SINCE}
    for seed in (1, 2):
        bundle = bundle_of(home, f"tests.toy_{name}", seed=seed)
        lineage = {"num_rows": asked.num_rows}
        catalog.register(name, bundle_uri=bundle.uri, bundle_hash=bundle.hash, lineage=lineage, **given)
    catalog.promote(name, 1, reasons=[], inputs={}, by="test", at=SINCE)
    replayed = {"since": SINCE.isoformat(), "until": END.isoformat(), "num_requests": 1, "num_answered": 1}
    catalog.put_state(name, "replay", {**replayed, "num_failed": 0, "num_labels": 1}, by="test", at=END)
    yield Job(settings=settings, module="", workload=workload, lake=lake, catalog=catalog, options=argparse.Namespace())
    catalog.close()


def fill(lake, workload, asked):
    """Answers that are the label with some error, those of another version, and the labels."""
    name, task, random = workload.name, workload.task, np.random.default_rng(1)
    event_at = asked["event_at"].to_pylist()
    ids = [prediction_id(key, 0, event_at=at) for key, at in zip(asked["key"].to_pylist(), event_at, strict=True)]
    fixed = {"id": ids, "version": [1] * len(ids), "degraded": [False] * len(ids), "arm": ["champion"] * len(ids)}
    answered = asked
    for column, values in {**fixed, **task.columns(near(task, asked, random))}.items():
        answered = answered.append_column(column, pa.array(values) if isinstance(values, list) else values)
    schema = prediction_schema(workload.columns, task=task)
    lake.append(name, "predictions", dated(answered, schema), stream="recorder", sequence=1)
    shadows = pa.table(
        {
            "id": ids,
            "event_at": asked["event_at"],
            "version": [2] * len(ids),
            "latency_ms": [0.5] * len(ids),
            "answer_latency_ms": [0.4] * len(ids),
            "batch_rows": [1] * len(ids),
            **task.columns(near(task, asked, random)),
        }
    )
    lake.append(name, "shadows", dated(shadows, shadow_schema(task=task)), stream="recorder", sequence=1)
    labels = pa.table(
        {
            "id": ids,
            "event_at": asked["event_at"],
            "value": asked["label"],
            "known_at": asked["label_known_at"],
            "received_at": asked["label_known_at"],
        }
    )
    lake.append(name, "labels", dated(labels, label_schema()), stream="recorder", sequence=1)


def near(task, asked, random):
    labels = asked["label"].to_numpy()
    if task.kind == "classes":
        weights = random.uniform(0.2, 1, (len(labels), 3)) + 2 * np.eye(3)[labels.astype(int)]
        return weights / weights.sum(axis=1, keepdims=True)
    values = labels + random.normal(0, 5, len(labels))
    return np.stack([values, values - 9, values + 9, np.full(len(values), 5.0)], axis=1)


def dated(table, schema):
    return conform(table.append_column("event_date", table["event_at"].cast(pa.date32())), schema)


def test_the_loop_is_compared_by_the_metrics_of_the_label(played, capsys):
    task = played.workload.task
    with threadpool_limits(limits=1):
        result = json.loads(Path(report(played)["result"]).read_text())
    assert result["loss"] == task.loss.name
    assert list(result["scores"]["loop"]) == [metric.name for metric in task.metrics]
    losses = {policy: scores[task.loss.name] for policy, scores in result["scores"].items()}
    assert min(losses, key=losses.get) == "loop"  # its answers were made from the labels
    assert losses["never"] < losses["constant"]
    assert result["differences"]["never"]["high"] < 0
    said = capsys.readouterr().out
    assert f"{task.loss.name.replace('_', ' ')} of (c) less (b)" in said
    assert Path(result["plot"]).read_bytes()[:8] == PNG


def test_two_versions_are_drawn_as_their_answers_are(played, tmp_path):
    picture = tmp_path / "pair.png"
    options = compare.arguments().parse_args(["tests", "--version", "2", "--json", "--plot", str(picture)])
    job = Job(**{**vars(played), "options": options})
    result = compare.compare(job)
    assert result["num_compared"] > 100
    assert picture.read_bytes()[:8] == PNG
