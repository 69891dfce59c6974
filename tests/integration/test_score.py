"""A table is answered by the very code that answers requests: the same tensors, the same version, the same why."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from heliostat.bulk.ids import default_event_at
from heliostat.bulk.scored import PROBABILITY_TOLERANCE, Origin, answer_schema
from heliostat.records import BundleRef, Run
from heliostat.store.inputs import open_input
from heliostat.store.outputs import Output
from jobs._scoring import BlockScorer, ScoreRun, Tally, _read
from tests.integration.predictor_fixture import make_bundle, record, run, serving
from tests.toy import Machines, workload

STARTED_AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
RUN_ID = "toy-score-1"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("score")


@pytest.fixture(scope="module")
def bundle(home):
    return make_bundle(home, "tests.toy", seed=1)


@pytest.fixture(scope="module")
def table():
    """Rows as a file would have them; two break the contract."""
    rows = (
        Machines(rows_per_part=300)
        .read("2024-03")
        .select(["reading", "read_at", "load_percent", "temperature_c", "site"])
    )
    load = rows["load_percent"].to_numpy().copy()
    load[[10, 200]] = 1e6
    return rows.set_column(2, "load_percent", pa.array(load))


def scored(home, bundle, table, *, batch_rows=64):
    """The answers of that table as the workers of a run make them, and what was committed."""
    pq.write_table(table, home / "in.parquet")
    opened = open_input(str(home / "in.parquet"))
    output = Output(uri=str(home / f"out-{batch_rows}"), kind="delta")
    work = ScoreRun(
        origin=Origin(run_id=RUN_ID, version=1, bundle_hash=bundle.hash, default_event_at=default_event_at(STARTED_AT)),
        bundle=BundleRef(uri=bundle.uri, hash=bundle.hash),
        output=output,
        read=tuple(table.column_names),
        where=(),
        carry=(),
        with_inputs=True,
        batch_rows=batch_rows,
    )
    scorer, tally = BlockScorer(work), Tally()
    tensors = record_tensors(scorer._model)
    for piece in _read({"part": list(opened.parts)}, run=work):
        tally.add(scorer(piece))
    schema = answer_schema(workload.columns, {}, with_inputs=True)
    version = output.commit(RUN_ID, tally.answers, schema=schema, rejected=tally.rejected)
    return tally, output, version, tensors


def record_tensors(model):
    """All that the network of this model is shown from now on, in the order of the rows."""
    shown = []
    encode = model.encode

    def recorded(rows):
        encoded = encode(rows)
        shown.append(encoded)
        return encoded

    model.encode = recorded
    return shown


def joined(shown):
    return {name: torch.cat([encoded[name] for encoded in shown]) for name in shown[0]}


def test_tensors_are_bit_equal_to_those_of_requests_and_answers_within_the_tolerance(home, bundle, table):
    tally, output, _, tensors = scored(home, bundle, table)
    kept = [row for row in table.to_pylist() if row["load_percent"] <= 100]
    answered = {}

    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served:
            shown = record_tensors(served.predictor.live.version_by_number[1].model)
            for start in range(0, len(kept), 37):
                rows = [{**row, "read_at": row["read_at"].isoformat()} for row in kept[start : start + 37]]
                answer = await served.predict(*rows)
                answered.update(zip((row["reading"] for row in rows), answer["predictions"], strict=True))
                assert set(answer["model_versions"]) == {1}
            online, bulk = joined(shown), joined(tensors)
            assert online.keys() == bulk.keys()
            for name, tensor in online.items():
                assert tensor.dtype == bulk[name].dtype
                assert torch.equal(tensor, bulk[name])

    run(scenario)
    rows = pa.concat_tables([pq.read_table(f"{output.uri}/{written.path}") for written in tally.answers]).to_pylist()
    assert len(rows) == len(kept) == len(answered) == 298
    assert {row["version"] for row in rows} == {1}
    assert {row["bundle_hash"] for row in rows} == {bundle.hash}
    apart = [abs(row["probability"] - answered[row["key"]]) for row in rows]
    assert max(apart) <= PROBABILITY_TOLERANCE


def test_bad_rows_lie_aside_with_reasons(home, bundle, table):
    tally, output, *_ = scored(home, bundle, table, batch_rows=65)
    assert (tally.num_answered, tally.num_rejected) == (298, 2)
    assert dict(tally.reasons) == {"load_percent must lie between 0 and 100": 2}
    (written,) = tally.rejected
    assert pq.read_table(f"{output.uri}/{written.path}")["row"].to_pylist() == [10, 200]


def test_why_finds_a_scored_row_as_it_finds_a_request(home, bundle, table):
    tally, output, version, _ = scored(home, bundle, table, batch_rows=66)
    row = pq.read_table(f"{output.uri}/{tally.answers[0].path}").to_pylist()[5]
    made_from = {"input": "in.parquet", "input_state": "files/1", "where": [], "limit": None}
    result = {"output": output.as_json(), "output_version": version, **made_from}
    stored = {"workload": "toy", "job": "score", "params": {}, "status": "succeeded", "by": "admin"}
    times = {"started_at": STARTED_AT, "ended_at": STARTED_AT}
    runs = [Run(run_id=name, result=result, **stored, **times) for name in ("another", RUN_ID)]

    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served:
            served.steering.runs = runs
            async with served.client("viewer") as client:
                found = await client.get(f"/v1/predictions/{row['id']}")
                unknown = await client.get(f"/v1/predictions/{row['id'][:-1]}{int(row['id'][-1], 16) ^ 8:x}")
            assert found.status_code == 200, found.text
            why = found.json()
            assert why["prediction"]["probability"] == row["probability"]
            assert why["prediction"]["key"] == table["reading"][5].as_py()
            assert why["inputs"]["load_percent"] == table["load_percent"][5].as_py()
            assert why["scored_by"]["run_id"] == RUN_ID
            assert why["scored_by"]["input"] == "in.parquet"
            assert why["model_version"]["number"] == 1
            assert unknown.status_code == 404

    run(scenario)


def test_another_batch_size_gives_the_same_ids_and_nearly_the_same_answers(home, bundle, table):
    found = []
    for batch_rows in (1, 298):
        tally, output, *_ = scored(home, bundle, table, batch_rows=batch_rows)
        found.append(pq.read_table(f"{output.uri}/{tally.answers[0].path}"))
    assert found[0]["id"].equals(found[1]["id"])
    apart = np.abs(found[0]["probability"].to_numpy() - found[1]["probability"].to_numpy())
    assert apart.max() <= PROBABILITY_TOLERANCE
