"""A whole turn's job in one process: screened labels, candidates, gates, and the figures that it leaves."""

import argparse
from datetime import timedelta

import pyarrow as pa
import pytest
import ray

from cluster import submit
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, label_schema
from heliostat.workload import load
from jobs import _entry, retrain, train
from tests.ray_train import Attempts, HereTrainer
from tests.stage import START, set_up
from tests.toy_lake import answer, ingest, rows_of

DAY = timedelta(days=1)
AS_OF = START + 40 * DAY
POISONED_AT = START + 12 * DAY


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    made = set_up(tmp_path / "home", monkeypatch, lake=Lake(str(tmp_path / "home" / "lake")))
    ingest(made.lake, until=START)
    first_run.register(made.catalog)
    made.catalog.promote("toy", 2, reasons=(), inputs={}, by="admin", at=START)
    Attempts(tmp_path / "checkpoints", monkeypatch)
    monkeypatch.setattr(train, "RoomTrainer", HereTrainer)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(submit, "code_package", lambda: None)
    monkeypatch.setattr(submit, "code_revision", lambda _: "abc")
    return made


def tell(stage, *, is_poisoned):
    """A month of rows on which the champion was sure and right; one of two sources turns its labels round."""
    rows = rows_of(since=START, until=START + 31 * DAY)
    values = [0.0 if label is None else label for label in rows["label"].to_pylist()]
    ids = answer(stage.lake, rows, probability=[0.97 if value else 0.03 for value in values])
    known_at = [at + 2 * DAY for at in rows["event_at"].to_pylist()]
    sources = ["http/ana" if place % 2 else "http/mallory" for place in range(len(ids))]
    told = [
        1 - value if is_poisoned and source == "http/mallory" and at >= POISONED_AT else value
        for value, source, at in zip(values, sources, known_at, strict=True)
    ]
    labels = {"id": ids, "value": told, "known_at": known_at, "received_at": known_at, "source": sources}
    table = pa.table(labels).append_column("event_date", rows["event_at"].cast(pa.date32()))
    stage.lake.append("toy", "labels", conform(table, label_schema()), stream="recorder", sequence=1)


def turned(stage):
    module = "tests.toy_turns"
    options = argparse.Namespace(by="steward/toy", as_of=AS_OF, run="toy-turn-1", onset=None, in_doubt=True)
    job = _entry.Job(
        settings=stage.settings,
        module=module,
        workload=load(module),
        lake=stage.lake,
        catalog=stage.catalog,
        options=options,
    )
    return retrain.retrain(job)


def test_a_planted_poisoned_batch_changes_nothing_but_the_rows_that_are_left(stage):
    tell(stage, is_poisoned=True)
    result = turned(stage)
    assert {span["source"] for span in stage.catalog.run("toy-turn-1").params["shut_out"]} == {"http/mallory"}
    lineages = [one.lineage for one in stage.catalog.versions("toy") if one.run_id == "toy-turn-1"]
    assert lineages
    assert all(lineage["shut_out"] for lineage in lineages)
    # A hold-out with the turned labels would give a loss far above that of chance.
    assert result["scores"]["log_loss"] < 0.72
    assert stage.said("labels_suspected")


def test_a_turn_leaves_its_labels_fits_and_cost(stage):
    tell(stage, is_poisoned=False)
    result = turned(stage)
    fitted = [one for one in stage.catalog.versions("toy") if one.run_id == "toy-turn-1"]
    assert result["fits"] == len(fitted) >= 2
    assert result["labels"] == max(one.lineage["num_rows"] for one in fitted)
    assert result["cpu_s"] > 1.5  # what the trainer reports, and this process
    assert result["gain"] == pytest.approx(result["sure_gain"], abs=1.0)
    [(_, cost)] = stage.said("run_cost")
    assert (cost["run"], cost["num_fits"]) == ("toy-turn-1", len(fitted))
