"""A chain learns from what the other would have said at the time: never from a version that had seen the row."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.intake import take
from heliostat.learn.bundle import ServedModel
from heliostat.store.bundles import read_bundle
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.store.schema import conform, raw_schema
from jobs._fitting import FitRun, fit_candidates
from jobs._inputs import with_inputs
from jobs._pinned import champions
from tests.integration.predictor_fixture import make_bundle
from tests.ray_train import Attempts
from tests.toy_chain import workload

JANUARY, FEBRUARY, MARCH = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3))
MIDDLE = datetime(2024, 1, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A lake with two months of the chain's rows, and a catalog in which `toy` had two champions."""
    home = tmp_path_factory.mktemp("chain")
    lake, catalog = Lake(str(home / "lake")), Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    catalog.create()
    read = [take(workload, workload.source.read(part), since=None, until=MARCH).good for part in ("2024-01", "2024-02")]
    rows = pa.concat_tables(read)
    dated = rows.append_column("event_date", rows["event_at"].cast(pa.date32()))
    lake.append(workload.name, "raw", conform(dated, raw_schema(workload.columns)), stream="ingest", sequence=1)
    for seed, as_of in ((1, MIDDLE), (2, FEBRUARY), (3, FEBRUARY)):
        bundle = make_bundle(home, "tests.toy", seed=seed)
        number = catalog.register(
            "toy",
            run_id=f"run-{seed}",
            candidate="all",
            kind="network",
            bundle_uri=bundle.uri,
            bundle_hash=bundle.hash,
            lineage={"as_of": as_of.isoformat()},
            scores={},
            by="test",
            at=MARCH,
        )
        if seed < 3:  # the third never was champion
            catalog.promote("toy", number, reasons=["test"], inputs={}, by="test", at=MARCH)
    return home, lake, catalog


def known(lake):
    return cohorts.training_rows(lake, workload, as_of=MARCH)


def answers(version, rows):
    model = ServedModel.load(read_bundle(version["bundle_uri"], version["bundle_hash"]))
    return model.answers(rows.select([column.name for column in model.columns]))


def between(rows, since, until):
    kind = rows["event_at"].type
    after = pc.greater_equal(rows["event_at"], pa.scalar(since, kind))
    return rows.filter(pc.and_(after, pc.less(rows["event_at"], pa.scalar(until, kind))))


def test_each_row_gets_what_the_champion_trained_before_it_says(made):
    _, lake, catalog = made
    pinned = champions(catalog, workload)
    assert [version["number"] for version in pinned["toy"]] == [1, 2]
    rows = with_inputs(known(lake), workload, pinned)
    first, second = pinned["toy"]
    assert between(rows, JANUARY, MIDDLE)["score_of_toy"].null_count == between(rows, JANUARY, MIDDLE).num_rows > 0
    for version, since, until in ((first, MIDDLE, FEBRUARY), (second, FEBRUARY, MARCH)):
        part = between(rows, since, until)
        assert part.num_rows > 0
        np.testing.assert_allclose(part["score_of_toy"].to_numpy(), answers(version, part), atol=1e-6)


def test_rows_older_than_every_version_get_what_is_declared(made):
    _, lake, catalog = made
    pinned, rows = champions(catalog, workload), known(lake)

    def declared(when_missing):
        return replace(workload, inputs=(replace(workload.inputs[0], when_missing=when_missing),))

    filled = with_inputs(rows, declared(0.25), pinned)
    assert set(between(filled, JANUARY, MIDDLE)["score_of_toy"].to_pylist()) == {0.25}
    kept = with_inputs(rows, declared("fail"), pinned)
    assert pc.min(kept["event_at"]).as_py() >= MIDDLE
    assert kept.num_rows == between(rows, MIDDLE, MARCH).num_rows


def test_what_was_answered_when_the_row_was_served_stays(made):
    _, lake, catalog = made
    rows = known(lake)
    served = pa.array([0.125] + [None] * (rows.num_rows - 1), pa.float64())
    place = rows.schema.get_field_index("score_of_toy")
    filled = with_inputs(rows.set_column(place, "score_of_toy", served), workload, champions(catalog, workload))
    assert filled["score_of_toy"][0].as_py() == 0.125


def test_a_column_that_the_other_needs_and_nobody_declares_is_named(made):
    _, lake, catalog = made
    rows = known(lake).drop_columns(["load_percent"])
    with pytest.raises(TrainingError, match=r"Version 1 of 'toy' reads \['load_percent'\], which 'toy-chain' does not"):
        with_inputs(rows, workload, champions(catalog, workload))


def test_a_fit_uses_the_answers_and_its_lineage_names_the_versions_that_gave_them(made, monkeypatch):
    home, lake, catalog = made
    pinned = champions(catalog, workload)
    run = FitRun(
        run_id="chain",
        module="tests.toy_chain",
        lake_uri=lake.uri,
        bundles_uri=str(home / "bundles"),
        as_of=MARCH,
        onset_at=None,
        code_revision="abc",
        tables={"raw": lake.version(workload.name, "raw"), "predictions": None, "labels": None},
        inputs=pinned,
    )
    Attempts(home / "checkpoints", monkeypatch)
    fitted = fit_candidates(asdict(run))
    assert "error" not in fitted[0], fitted
    assert fitted[0]["lineage"]["inputs"] == pinned
    files = read_bundle(fitted[0]["bundle_uri"], fitted[0]["bundle_hash"])
    weight = ServedModel.load(files)._answers._module.layer.weight.item()
    assert weight > 0  # what the other calls likely is likely
    described = json.loads(files["preparation.json"])
    assert "score_of_toy" in json.dumps(described)
