"""What a workload asks is looked at when it is deployed: who is not there, and who would ask in a circle."""

import argparse
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from heliostat import Category, Classes, Ensemble, Input, Number, Quantity
from heliostat.errors import WorkloadError
from heliostat.labels import label_to_json
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


def deployed(catalog, name, *asks, label=None):
    config = {"name": name, "deployments": [{"name": "Predictor"}], "asks": list(asks)}
    if label is not None:
        config["label"] = label_to_json(label)
    catalog.put_application(name, config, by="test", at=datetime.now(UTC))


def job(catalog, tmp_path, name, *asks):
    workload = replace(toy.workload, name=name, combine=Ensemble(weights=dict.fromkeys(asks, 1.0)) if asks else None)
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


def test_an_ensemble_with_one_that_answers_another_kind_of_label_is_refused(catalog, tmp_path):
    deployed(catalog, "a", label=toy.workload.label)
    deployed(catalog, "b", label=Quantity("delay", low=0, unit="min"))
    refuse_unfit_asks(job(catalog, tmp_path, "c", "a"))
    with pytest.raises(WorkloadError, match=r"'c' asks 'b', which answers Quantity\(.*Take it as an input instead"):
        refuse_unfit_asks(job(catalog, tmp_path, "c", "a", "b"))


def test_an_input_whose_column_cannot_hold_the_answers_is_refused_with_one_that_can(catalog, tmp_path):
    deployed(catalog, "b", label=Classes("cause", values=("heat", "cold")))
    asking = job(catalog, tmp_path, "c")
    number = Number("cause", low=0, high=1, optional=True)
    wrong = replace(
        toy.workload, name="c", columns=(*toy.workload.columns, number), inputs=(Input(column="cause", workload="b"),)
    )
    with pytest.raises(WorkloadError, match=r'declare Category\("cause", optional=True\) or Vector\("cause", 2'):
        refuse_unfit_asks(replace(asking, workload=wrong))
    right = replace(wrong, columns=(*toy.workload.columns, Category("cause", optional=True)))
    refuse_unfit_asks(replace(asking, workload=right))
