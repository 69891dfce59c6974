"""A workload with a vector column, the whole way: fitted, served by every protocol, logged, scored, watched."""

import struct

import numpy as np
import orjson
import pyarrow as pa
import pytest

from heliostat.check import check
from heliostat.columns import normalise
from heliostat.intake import take
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.serving.arrow_stream import ARROW
from heliostat.store.bundles import read_bundle, write_bundle
from heliostat.store.commits import SegmentCommitter
from heliostat.store.inputs import open_input
from heliostat.store.lake import Lake
from heliostat.store.schema import PREDICTIONS, prediction_schema, raw_schema
from heliostat.vectors import from_matrix
from heliostat.watch.profile import Profile
from tests.integration.grpc_fixture import grpc_client
from tests.integration.predictor_fixture import ROW, record, run, serving
from tests.integration.test_predictor_columns import stream
from tests.toy_rows import LAKE_NAMES
from tests.toy_vectors import LENGTH, SPECTRUM, workload

VECTORS = np.random.default_rng(5).normal(size=(6, LENGTH)).astype(np.float32)
ROWS = [{**ROW, "reading": f"r-{row}", SPECTRUM: vector.tolist()} for row, vector in enumerate(VECTORS)]
INFER = "/v2/models/toy/infer"


def rows_of(part):
    table = workload.source.read(part)
    renamed = table.rename_columns([LAKE_NAMES.get(name, name) for name in table.column_names])
    return renamed.filter(pa.compute.is_valid(renamed["label"]))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    fitted = fit(workload, *split_by_time(rows_of("2024-01"), share=0.2), seed=1)
    files = to_files("tests.toy_vectors", fitted, profile={}, lineage={})
    return {1: write_bundle(str(tmp_path_factory.mktemp("bundles")), files)}


def tensors(kind="FP32"):
    raw = {
        "load_percent": ("FP32", struct.pack("<6f", *(row["load_percent"] for row in ROWS)), [6]),
        "temperature_c": ("FP32", struct.pack("<6f", *(row["temperature_c"] for row in ROWS)), [6]),
        SPECTRUM: (kind, VECTORS.tobytes(), [6, LENGTH]),
        **{
            name: ("BYTES", b"".join(struct.pack("<I", len(row[name])) + row[name].encode() for row in ROWS), [6])
            for name in ("site", "reading", "read_at")
        },
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, (datatype, data, shape) in raw.items()
    ]
    return inputs, [data for _, data, _ in raw.values()]


async def infer(served, inputs, tail=b""):
    head = orjson.dumps({"inputs": inputs})
    headers = {"Inference-Header-Content-Length": str(len(head)), "X-Request-Id": "same"}
    async with served.client("caller", **headers) as client:
        return await client.post(INFER, content=head + tail)


def test_a_workload_with_a_vector_passes_the_checks_of_any_workload():
    check(workload)


def test_rows_arrow_streams_and_tensors_of_either_protocol_give_the_same_answer(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            table = pa.Table.from_pylist(ROWS).set_column(5, SPECTRUM, from_matrix(VECTORS))
            async with served.client("caller", **{"Content-Type": ARROW, "X-Request-Id": "same"}) as http:
                by_column = await http.post("/v1/predict", content=stream(table))
            inputs, data = tensors()
            binary = await infer(served, inputs, b"".join(data))
            plain = [
                {"name": SPECTRUM, "datatype": "FP32", "shape": [6, LENGTH], "data": VECTORS.tolist()}
                if each["name"] == SPECTRUM
                else {**each, "shape": [6], "parameters": {}, "data": [row[each["name"]] for row in ROWS]}
                for each in inputs
            ]
            json = await infer(served, plain)
            named = [{name: each[name] for name in ("name", "datatype", "shape")} for each in inputs]
            by_grpc = await client("ModelInfer", model_name="toy", inputs=named, raw_input_contents=data)
        assert by_column.status_code == binary.status_code == json.status_code == 200, (by_column.text, json.text)
        assert by_column.json()["predictions"] == by_row["predictions"]
        for answer in (binary, json):
            (found,) = [one["data"] for one in answer.json()["outputs"] if one["name"] == "probability"]
            assert np.allclose(found, by_row["predictions"], atol=1e-6)
        (place,) = [place for place, one in enumerate(by_grpc.outputs) if one.name == "probability"]
        assert np.allclose(np.frombuffer(by_grpc.raw_output_contents[place]), by_row["predictions"], atol=1e-6)
        assert len(set(np.round(by_row["predictions"], 6))) == len(ROWS)

    run(scenario)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([1.0] * (LENGTH - 1), "must have 8 numbers; got 7"),
        ("1,2,3", "must be a list of 8 numbers"),
        ([[1.0]] * LENGTH, "component 0 is none"),
        ([1.0] * (LENGTH - 1) + [None], "component 7 is none"),
        ([1.0] * (LENGTH - 1) + [11], "component 7 is outside"),
    ],
)
def test_a_bad_vector_is_refused_with_its_row_and_column(bundles, tmp_path, vector, said):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, served.client("caller") as client:
            response = await client.post("/v1/predict", json={"rows": [ROWS[0], {**ROWS[1], SPECTRUM: vector}]})
        assert response.status_code == 422, response.text
        assert f"row 1: column '{SPECTRUM}'" in response.json()["detail"]
        assert said in response.json()["detail"]

    run(scenario)


def test_what_was_asked_is_in_the_lake_and_told_by_why(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served:
            answer = await served.predict(*ROWS, {**ROW, "reading": "without"})
            served.predictor.close()
            lake = Lake(str(tmp_path / "lake"))
            committer = SegmentCommitter(
                lake,
                "toy",
                directory=served.predictor.config.segments_dir,
                stream="one",
                columns=workload.logged_columns,
            )
            assert committer.step().num_predictions == len(ROWS) + 1
            committer.close()
            async with served.client("viewer") as client:
                why = await client.get(f"/v1/predictions/{answer['ids'][2]}")
        rows = lake.read("toy", PREDICTIONS, schema=prediction_schema(workload.logged_columns)).sort_by("row")
        assert rows[SPECTRUM].to_pylist() == [*VECTORS.tolist(), None]
        assert why.json()["inputs"][SPECTRUM] == pytest.approx(VECTORS[2].tolist())

    run(scenario)


def test_raw_rows_keep_their_vectors_and_broken_ones_are_put_aside(tmp_path):
    table = workload.source.read("2024-01").slice(0, 20)
    column = table[SPECTRUM].to_pylist()
    column[3] = [1.0]
    broken = table.set_column(table.schema.get_field_index(SPECTRUM), SPECTRUM, pa.array(column))
    intake = take(workload, broken, since=None, until=pa.compute.max(table["checked_by"]).as_py())
    assert intake.rejected["reason"].to_pylist() == [f"{SPECTRUM} must have {LENGTH} numbers; got 1"]
    lake, schema = Lake(str(tmp_path)), raw_schema(workload.columns)
    day = pa.array(intake.good["event_at"].cast(pa.date32()))
    lake.append("toy", "raw", intake.good.append_column("event_date", day).cast(schema), stream="a", sequence=1)
    kept = lake.read("toy", "raw", schema=schema).sort_by("key")
    assert kept[SPECTRUM].to_pylist() == intake.good.sort_by("key")[SPECTRUM].to_pylist()


def test_tensors_of_a_scored_file_are_those_of_requests(bundles, tmp_path):
    table = workload.source.read("2024-03").select([*(column.name for column in workload.columns), "reading"])
    pa.parquet.write_table(table, tmp_path / "in.parquet")
    opened = open_input(str(tmp_path / "in.parquet"))
    (part,) = opened.parts
    read = pa.concat_tables([piece for _, piece in part.pieces(table.column_names)])
    model = ServedModel.load(read_bundle(bundles[1].uri, bundles[1].hash))
    whole = model.encode(normalise(read, workload.columns))[SPECTRUM]
    alone = [model.encode(normalise(table.slice(row, 1), workload.columns))[SPECTRUM] for row in range(50)]
    assert np.array_equal(whole[:50].numpy(), np.concatenate(alone), equal_nan=True)


def test_a_profile_of_training_rows_sees_vectors_that_moved():
    rows = normalise(rows_of("2024-01"), workload.columns)
    profile = Profile.fit(rows, workload.columns, np.full(rows.num_rows, 0.5))
    later = normalise(rows_of("2024-02"), workload.columns)
    calm = profile.compare(profile.count(later, np.full(later.num_rows, 0.5)))
    place = later.schema.get_field_index(SPECTRUM)
    moved = later.set_column(place, SPECTRUM, from_matrix(np.full((later.num_rows, LENGTH), 2.0)))
    drifted = profile.compare(profile.count(moved, np.full(moved.num_rows, 0.5)))
    assert calm[f"{SPECTRUM}:norm"].psi < 0.1
    assert drifted[f"{SPECTRUM}:norm"].psi > 1
