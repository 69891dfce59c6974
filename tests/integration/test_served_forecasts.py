"""Forecasts, the whole way: fitted, bundled, asked for over HTTP, logged, labelled once their hour has come, scored."""

from datetime import UTC, datetime

import numpy as np
import pytest

from heliostat import cohorts
from heliostat.intake import take
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.store.bundles import read_bundle, write_bundle
from heliostat.store.commits import SegmentCommitter
from heliostat.store.lake import Lake
from heliostat.watch.cohorts import score_cohort
from tests.integration.predictor_fixture import record, run, serving
from tests.integration.test_predictor_http import until_sealed
from tests.toy_series import HORIZON, MONTHS, workload

LATER = datetime(2200, 1, 1, tzinfo=UTC)


def known(month):
    return take(workload, workload.source.read(month), since=None, until=LATER).good


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    fitted = fit(workload, *split_by_time(known(MONTHS[0]), share=0.2), seed=1)
    files = to_files("tests.toy_series", fitted, profile={}, lineage={})
    return {1: write_bundle(str(tmp_path_factory.mktemp("bundles")), files)}


def test_a_horizon_asked_for_over_http_is_answered_as_offline_and_scored_when_its_labels_have_come(bundles, tmp_path):
    asked = workload.source.read(MONTHS[1]).slice(0, 2 * HORIZON)
    rows = asked.drop_columns(["value", "known_at", "day_of_year"]).to_pylist()
    for row in rows:
        row |= {name: row[name].isoformat() for name in ("made_at", "target_at")}
    labels = asked["value"].to_pylist()
    offline = ServedModel.load(read_bundle(bundles[1].uri, bundles[1].hash)).answers(asked)

    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            answer = await served.predict(*rows)
            told = [{"id": one, "value": value} for one, value in zip(answer["ids"], labels, strict=True)]
            async with served.client("caller") as client:
                taken = await client.post("/v1/labels", json={"labels": told})
            assert taken.json() == {"accepted": len(rows)}
            await until_sealed(tmp_path / "segments" / workload.name)
        for place, name in enumerate(("predictions", "low", "high")):
            assert answer[name] == offline[:, place].tolist()

    run(scenario)
    lake = Lake(str(tmp_path / "lake"))
    place = {"directory": tmp_path / "segments" / workload.name, "stream": "test"}
    committer = SegmentCommitter(lake, workload.name, columns=workload.columns, task=workload.task, **place)
    committer.step()
    committer.close()
    since = datetime(2024, 1, 1, tzinfo=UTC)
    matured = cohorts.joined(
        lake, workload.name, workload.columns, since=since, until=LATER, known_by=LATER, task=workload.task
    )
    found = score_cohort(matured, since=since, until=LATER, task=workload.task).score_by_version[1]
    errors = offline[:, 0] - np.array(labels)
    assert found.score_by_metric["mse"] == pytest.approx(np.mean(errors**2))
