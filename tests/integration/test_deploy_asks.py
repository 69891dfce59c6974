"""What a workload asks is looked at when it is deployed: who is not there, and who would ask in a circle."""

import argparse
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from heliostat import Ensemble
from heliostat.errors import WorkloadError
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from jobs._entry import Job
from jobs.deploy import refuse_unfit_asks
from tests import toy


@pytest.fixture
def catalog(tmp_path):
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.create()
    yield made
    made.close()


def deployed(catalog, name, *asks):
    config = {"name": name, "deployments": [{"name": "Predictor"}], "asks": list(asks)}
    catalog.put_application(name, config, by="test", at=datetime.now(UTC))


def job(catalog, tmp_path, name, *asks):
    workload = replace(toy.workload, name=name, combine=Ensemble(weights=dict.fromkeys(asks, 1.0)))
    return Job(
        settings=Settings(home=tmp_path),
        module="tests.toy",
        workload=workload,
        lake=Lake(str(tmp_path / "lake")),
        catalog=catalog,
        options=argparse.Namespace(),
    )


def test_a_workload_that_asks_what_is_not_deployed_is_refused(catalog, tmp_path):
    deployed(catalog, "a")
    refuse_unfit_asks(job(catalog, tmp_path, "c", "a"))
    with pytest.raises(WorkloadError, match=r"'c' asks 'b', which is not deployed; deployed are \['a'\]"):
        refuse_unfit_asks(job(catalog, tmp_path, "c", "a", "b"))


def test_a_circle_through_what_is_deployed_is_refused(catalog, tmp_path):
    deployed(catalog, "a", "b")
    deployed(catalog, "b")
    with pytest.raises(WorkloadError, match="'a' asks 'b' asks 'a'"):
        refuse_unfit_asks(job(catalog, tmp_path, "b", "a"))
