"""`jobs.compare`: what two versions said to the same live rows, for people, for programs, and as a picture."""

import argparse
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from heliostat.errors import NotFoundError
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from jobs.compare import arguments, compare
from tests.stage import START
from tests.toy_lake import answer, rows_of, shadow, tell
from tests.toy_quick import workload

ROWS = rows_of(since=START, until=START + timedelta(days=10))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Version 1 answered; version 2 says nearly the same, but of site beta, and takes thrice as long."""
    lake, random = Lake(str(tmp_path_factory.mktemp("lake"))), np.random.default_rng(0)
    theirs = random.uniform(0.05, 0.95, ROWS.num_rows)
    is_beta = np.array([site == "beta" for site in ROWS["site"].to_pylist()])
    own = np.clip(theirs + random.normal(0, 0.02, ROWS.num_rows) + 0.3 * is_beta, 0, 1)
    times = random.lognormal(-0.5, 0.4, ROWS.num_rows)
    answer(lake, ROWS, probability=theirs)
    shadow(lake, ROWS, probability=own, latency_ms=3 * times, answer_latency_ms=times)
    tell(lake, ROWS)
    return lake


@pytest.fixture
def job(lake, tmp_path):
    """A job over the lake and a catalog in which version 1 is champion, and 2 on trial unless said otherwise."""

    def begun(*given, is_on_trial=True):
        catalog = Catalog(f"sqlite:///{tmp_path}/catalog-{is_on_trial}.db")
        catalog.create()
        made = {"candidate": "all", "kind": "network", "bundle_uri": "file:///none", "bundle_hash": "0" * 64}
        for number in (1, 2):
            catalog.register("toy", run_id=f"run-{number}", **made, lineage={}, scores={}, by="test", at=START)
        catalog.promote("toy", 1, reasons=("it is the first",), inputs={}, by="test", at=START)
        if is_on_trial:
            catalog.set_candidate("toy", 2, by="test", at=START)
        options: argparse.Namespace = arguments().parse_args(["tests.toy_quick", *given])
        return SimpleNamespace(workload=workload, lake=lake, catalog=catalog, options=options)

    return begun


def test_the_table_names_the_slice_where_they_differ(job, capsys):
    result = compare(job())
    said = capsys.readouterr().out
    assert (result["version"], result["against"], result["num_compared"]) == (2, 1, ROWS.num_rows)
    assert f"version 2 beside version 1, {ROWS.num_rows:,} of {ROWS.num_rows:,} answered rows" in said
    first_slice = said.split("most apart")[1].splitlines()[1]
    assert "site = beta" in first_slice
    assert result["own_ms"]["p50"] == pytest.approx(3 * result["other_ms"]["p50"], rel=1e-5)
    assert result["losses"]["num_rows"] == ROWS.num_rows - ROWS["label"].null_count


def test_json_is_the_result_alone_and_the_plot_is_a_picture(job, capsys, tmp_path):
    picture = tmp_path / "pair.png"
    result = compare(job("--json", "--plot", str(picture)))
    assert capsys.readouterr().out == ""
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert result["plot"] == str(picture)
    assert {part["column"] for part in result["slices"]} == {column.name for column in workload.columns}


def test_a_pair_that_never_met_and_a_trial_that_never_was_are_said(job):
    with pytest.raises(NotFoundError, match="beside version 7"):
        compare(job("--version", "2", "--against", "7"))
    with pytest.raises(NotFoundError, match="No version of 'toy' was on trial yet"):
        compare(job(is_on_trial=False))
