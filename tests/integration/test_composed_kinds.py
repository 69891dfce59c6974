"""Classes and quantities that ask and are asked: ensembles, a cascade, a chain; over tables and long answers too."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.trial import own_answers
from heliostat import Category, Input, Number, Vector
from heliostat.answer_jobs import AnswerJob
from heliostat.bulk.ids import default_event_at
from heliostat.bulk.pinning import Asking, pins
from heliostat.bulk.scored import PROBABILITY_TOLERANCE, Origin, answer_schema
from heliostat.records import BundleRef
from heliostat.settings import Settings
from heliostat.store.answer_folder import AnswerFolder
from heliostat.store.catalog import Catalog
from heliostat.store.inputs import open_input
from heliostat.store.outputs import Output
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from heliostat.tasks import task_of
from heliostat.workload import load
from jobs._inputs import with_inputs
from jobs._scoring import BlockScorer, ScoreRun, Tally, _read
from serve_apps.engine.answering import Worker
from tests import toy, toy_kinds
from tests.integration.kinds_fixture import bundle_of
from tests.integration.pool_fixture import declared, make_module, member, pool_record, pooling
from tests.integration.predictor_fixture import ROW, make_bundle, run

ENSEMBLE, CASCADE = "from heliostat import Ensemble", "from heliostat import Cascade"
CHAINED = (
    Number("wear_um", low=0, high=450, optional=True),
    Category("cause", optional=True),
    Vector("causes", 3, low=0, high=1, optional=True),
)
CHAIN = (
    ", columns=(*toy.workload.columns, Number('wear_um', low=0, high=450, optional=True), "
    "Category('cause', optional=True), Vector('causes', 3, low=0, high=1, optional=True)), inputs=("
    "Input(column='wear_um', workload='wear-a'), Input(column='cause', workload='cause-a'), "
    "Input(column='causes', workload='cause-a'))"
)
WEAR, CAUSE = {"base": "toy_kinds.wear"}, {"base": "toy_kinds.cause"}
MODULES = {
    "wear-a": WEAR,
    "wear-b": WEAR,
    "cause-a": CAUSE,
    "cause-b": CAUSE,
    "wear-mean": {**WEAR, "imports": ENSEMBLE, "more": ", combine=Ensemble(weights={'wear-a': 1.0, 'wear-b': 2.0})"},
    "cause-mean": {**CAUSE, "imports": ENSEMBLE, "more": ", combine=Ensemble(weights={'cause-b': 3.0})"},
    "cause-on": {**CAUSE, "imports": CASCADE, "more": ", combine=Cascade(then=('cause-b',), until_confident=0.6)"},
    "mixed": {**WEAR, "imports": ENSEMBLE, "more": ", combine=Ensemble(weights={'cause-a': 1.0, 'wear-b': 1.0})"},
    "chained": {"imports": "from heliostat import Category, Input, Number, Vector", "more": CHAIN},
}
BUNDLES = {"wear": ("tests.toy_wear", (1, 2)), "cause": ("tests.toy_cause", (1, 2))}
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 5 * number} for number in range(20)]
COMBINED = ("wear-mean", "cause-mean", "cause-on")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    made = {name: [bundle_of(home, module, seed=seed) for seed in seeds] for name, (module, seeds) in BUNDLES.items()}
    return {**made, "toy": [make_bundle(home, "tests.toy", seed=1)]}


def bundle_by_name(bundles):
    """Each workload's version: the others' second one where its name ends so, else the first."""
    kinds = {name: name.partition("-")[0] for name in MODULES} | {"chained": "toy", "mixed": "wear"}
    return {name: bundles[kind][1 if name.endswith("-b") else 0] for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory, bundles):
    home = tmp_path_factory.mktemp("declared")
    sys.path.insert(0, str(home))
    try:
        refs = {name: declared(home, make_module(home, name, **texts)) for name, texts in MODULES.items()}
        return {name: member(refs[name], {1: bundle}) for name, bundle in bundle_by_name(bundles).items()}
    finally:
        sys.path.remove(str(home))


async def answers(made, home, *names):
    """What each workload answers to the rows."""
    async with pooling(home, pool_record(made)) as served:
        return [await served.predict(name, *ROWS) for name in names]


def logged(home, name, columns=toy.workload.columns, task=None):
    found = [
        read_segment(path, prediction_schema(columns, task=task or task_of(toy.workload.label), with_commit=False))
        for path in sealed(home / "segments" / name, "predictions")
    ]
    return pa.concat_tables(found)


def quantities(answer):
    return np.array([answer[name] for name in ("predictions", "low", "high", "deviation")]).T


def test_a_mean_of_quantities_is_answered_and_logged_with_who_took_part(made, tmp_path):
    async def scenario():
        a, b, mean = await answers(made, tmp_path, "wear-a", "wear-b", "wear-mean")
        assert quantities(mean) == pytest.approx((2 * quantities(a) + 2 * quantities(b)) / 4)
        assert (mean["degraded"], mean["degraded_reason"]) == (False, None)
        rows = logged(tmp_path, "wear-mean", task=toy_kinds.wear.task)
        assert rows["value"].to_pylist() == mean["predictions"]
        took_part = json.loads(rows["answered_with"][0].as_py())
        assert took_part["others"]["wear-b"]["value"] == b["predictions"][0]
        # A trial compares what the own model said.
        assert own_answers(rows, toy_kinds.wear.task)["value"].to_pylist() == pytest.approx(a["predictions"])

    run(scenario)


def test_classes_are_averaged_and_a_cascade_asks_on_where_none_is_likely(made, tmp_path):
    async def scenario():
        a, b, mean, cascade = await answers(made, tmp_path, "cause-a", "cause-b", "cause-mean", "cause-on")
        own, other = np.array(a["probabilities"]), np.array(b["probabilities"])
        assert np.array(mean["probabilities"]) == pytest.approx((own + 3 * other) / 4)
        assert mean["predictions"] == [toy_kinds.CAUSES[place] for place in np.array(mean["probabilities"]).argmax(1)]
        unsure = own.max(axis=1) < 0.6
        assert 0 < unsure.sum() < len(ROWS)
        assert np.array(cascade["probabilities"]) == pytest.approx(np.where(unsure[:, np.newaxis], other, own))
        rows = logged(tmp_path, "cause-on", task=toy_kinds.cause.task)
        kept = own_answers(rows, toy_kinds.cause.task)["probabilities"].to_pylist()
        assert np.array(kept) == pytest.approx(own)

    run(scenario)


def test_one_that_answers_another_kind_is_left_out_of_the_mean_and_named(made, tmp_path):
    async def scenario():
        b, own, mixed = await answers(made, tmp_path, "wear-b", "wear-a", "mixed")
        assert quantities(mixed) == pytest.approx((quantities(own) + quantities(b)) / 2)
        assert "cause-a gave no answer (it answers Classes(" in mixed["degraded_reason"]

    run(scenario)


def test_a_chain_gets_a_quantity_a_class_and_all_probabilities_as_columns(made, tmp_path):
    async def scenario():
        wear, cause, _ = await answers(made, tmp_path, "wear-a", "cause-a", "chained")
        rows = logged(tmp_path, "chained", (*toy.workload.columns, *CHAINED))
        assert rows["cause"].to_pylist() == cause["predictions"]
        assert np.array(rows["causes"].to_pylist()) == pytest.approx(np.array(cause["probabilities"]), abs=1e-6)
        # What the column does not allow is missing, and said.
        expected = [value if value <= 450 else None for value in wear["predictions"]]
        assert None in expected
        assert rows["wear_um"].to_pylist() == expected

    run(scenario)


def test_old_rows_of_a_chain_get_what_the_others_would_have_said(bundles):
    rows = pa.table(
        {
            **{column.name: [row.get(column.name) for row in ROWS] for column in toy.workload.columns},
            "event_at": pa.array([datetime(2024, 3, 1, tzinfo=UTC)] * len(ROWS), pa.timestamp("us", tz="UTC")),
            **{column.name: pa.nulls(len(ROWS), column.arrow_type) for column in CHAINED},
        }
    )
    bundle = {name: bundles[name][0] for name in ("wear", "cause")}
    pinned = {
        f"{name}-a": [
            {"number": 1, "as_of": "2024-01-01T00:00:00+00:00", "bundle_uri": each.uri, "bundle_hash": each.hash}
        ]
        for name, each in bundle.items()
    }
    inputs = (("wear_um", "wear-a"), ("cause", "cause-a"), ("causes", "cause-a"))
    workload = replace(
        toy.workload,
        columns=(*toy.workload.columns, *CHAINED),
        inputs=tuple(Input(column=column, workload=name) for column, name in inputs),
    )
    filled = with_inputs(rows, workload, pinned)
    assert set(filled["cause"].to_pylist()) <= set(toy_kinds.CAUSES)
    assert np.array(filled["causes"].to_pylist()).sum(axis=1) == pytest.approx(np.ones(len(ROWS)), abs=1e-6)
    assert 0 < filled["wear_um"].null_count < len(ROWS)  # above 450 the column takes none


@pytest.fixture
def catalog(tmp_path, bundles):
    """A catalog in which every workload's version is champion."""
    made = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    made.create()
    at = datetime(2024, 3, 1, tzinfo=UTC)
    given = {"run_id": "r", "candidate": "c", "kind": "network", "scores": {}, "lineage": {}, "by": "test", "at": at}
    for name, bundle in bundle_by_name(bundles).items():
        made.register(name, bundle_uri=bundle.uri, bundle_hash=bundle.hash, **given)
        made.promote(name, 1, reasons=[], inputs={}, by="test", at=at)
    yield made
    made.close()


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in MODULES:
        sys.modules.pop(name.replace("-", "_"), None)
    return {name: make_module(tmp_path, name, **texts) for name, texts in MODULES.items()}


@pytest.mark.parametrize("name", ["wear-a", "cause-a", *COMBINED])
def test_a_long_answer_is_what_requests_are_answered(made, modules, catalog, tmp_path, name):
    (online,) = asyncio.run(answers(made, tmp_path, name))
    workload, at = load(modules[name]), datetime(2024, 3, 1, tzinfo=UTC)
    folder = AnswerFolder.of(str(tmp_path / "lake"), name, "j")
    folder.put_request("d", json.dumps({"rows": ROWS}).encode())
    job = AnswerJob(
        job_id="j",
        workload=name,
        by="caller-key",
        digest="d",
        folder=folder.uri,
        media_type="application/json",
        input_uri=None,
        callback_url=None,
        created_at=at,
        expires_at=at,
        version=1,
        attempt=1,
    )
    bundle = made[name]["bundles"]["1"]
    outcome = Worker(modules[name], Settings(home=tmp_path), lambda: catalog).answer(job, BundleRef(**bundle))
    assert outcome == {"num_rows": len(ROWS), "num_rejected": 0}
    result = pa.ipc.open_stream(folder.result(1)).read_all()
    first, *others = workload.task.told_types
    assert close(result[first].to_pylist(), online["predictions"])
    for other in others:
        assert close(result[other].to_pylist(), online[other])


def close(one, other):
    return one == other if isinstance(one[0], str) else np.array(one) == pytest.approx(np.array(other), rel=1e-5)


@pytest.mark.parametrize("name", ["wear-a", "cause-a", *COMBINED])
def test_a_scored_table_is_what_requests_are_answered(made, modules, catalog, tmp_path, name):
    (online,) = asyncio.run(answers(made, tmp_path, name))
    workload = load(modules[name])
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "in.parquet")
    opened = open_input(str(tmp_path / "in.parquet"))
    output = Output(uri=str(tmp_path / "out"), kind="delta")
    at, bundle = datetime(2024, 3, 1, tzinfo=UTC), BundleRef(**made[name]["bundles"]["1"])
    pinned = pins(catalog, name, inputs=workload.inputs, combine=workload.combine)
    work = ScoreRun(
        origin=Origin(run_id="r", version=1, bundle_hash=bundle.hash, default_event_at=default_event_at(at)),
        bundle=bundle,
        output=output,
        read=tuple(opened.schema.names),
        where=(),
        carry=(),
        with_inputs=True,
        batch_rows=7,
        asking=Asking.of(workload, pinned) if workload.asks else None,
    )
    scorer, tally = BlockScorer(work), Tally()
    for piece in _read({"part": list(opened.parts)}, run=work):
        tally.add(scorer(piece))
    schema = answer_schema(workload.columns, {}, with_inputs=True, asks_others=bool(workload.asks), task=workload.task)
    output.commit("r", tally.answers, schema=schema, rejected=tally.rejected)
    found = pa.concat_tables([pq.read_table(f"{output.uri}/{written.path}") for written in tally.answers])
    assert (found.num_rows, tally.num_rejected) == (len(ROWS), 0)
    stored = workload.task.answers(found)
    told = workload.task.told(stored.tolist())
    first, *others = told
    assert close(told[first], online["predictions"])
    for other in others:
        assert np.array(told[other]) == pytest.approx(np.array(online[other]), rel=10 * PROBABILITY_TOLERANCE)
