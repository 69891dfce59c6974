"""The Open Inference Protocol over gRPC: the same answers, the same refusals, in gRPC's words."""

import struct
import time
from dataclasses import replace

import pytest

from heliostat.serving.generated import open_inference_pb2 as pb
from tests.integration.grpc_fixture import grpc_client
from tests.integration.predictor_fixture import FRAGILE, ROW, changed_toy, make_bundle, plaintext, record, run, serving
from tests.toy import workload

ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2.0 * number} for number in range(5)]
SAME = ("x-request-id", "same")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("bundles")
    return {1: make_bundle(home, "tests.toy", seed=1), 2: make_bundle(home, "tests.toy", seed=2)}


def texts(name):
    return [str(row[name]).encode() for row in ROWS]


def packed(name):
    return b"".join(struct.pack("<I", len(text)) + text for text in texts(name))


def tensor(name, datatype, **contents):
    made = pb.InferTensorContents(**contents) if contents else None
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=[len(ROWS)], contents=made)


def typed(**others):
    loads = [row["load_percent"] for row in ROWS]
    inputs = [
        tensor("load_percent", "FP64", fp64_contents=loads),
        tensor("temperature_c", "FP32", fp32_contents=[row["temperature_c"] for row in ROWS]),
        *(tensor(name, "BYTES", bytes_contents=texts(name)) for name in ("site", "reading", "read_at")),
    ]
    return {"model_name": "toy", "inputs": inputs, **others}


def raw(**others):
    inputs = [tensor(name, "BYTES") for name in ("site", "reading", "read_at")]
    numbers = [tensor("load_percent", "FP64"), tensor("temperature_c", "FP32")]
    contents = [
        struct.pack("<5d", *(row["load_percent"] for row in ROWS)),
        struct.pack("<5f", *(row["temperature_c"] for row in ROWS)),
        *map(packed, ("site", "reading", "read_at")),
    ]
    return {"model_name": "toy", "inputs": [*numbers, *inputs], "raw_input_contents": contents, **others}


def test_typed_tensors_raw_tensors_and_rows_give_the_same_answer_and_ids(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            by_row = await served.predict(*ROWS, **{"X-Request-Id": "same"})
            by_type = await client("ModelInfer", metadata=[SAME], **typed(id="mine"))
            by_bytes = await client("ModelInfer", metadata=[("request_id", "same")], **raw())
        assert (by_type.model_name, by_type.model_version, by_type.id, by_bytes.id) == ("toy", "1", "mine", "same")
        assert [output.name for output in by_type.outputs] == ["probability", "confidence", "id", "model_version"]
        probability, confidence, ids, versions = (output.contents for output in by_type.outputs)
        assert list(probability.fp64_contents) == by_row["predictions"]
        assert list(confidence.fp64_contents) == by_row["confidence"]
        assert [identifier.decode() for identifier in ids.bytes_contents] == by_row["ids"]
        assert list(versions.int_contents) == [1] * 5
        assert not by_type.raw_output_contents
        assert list(struct.unpack("<5d", by_bytes.raw_output_contents[0])) == by_row["predictions"]
        assert list(struct.unpack("<5i", by_bytes.raw_output_contents[3])) == [1] * 5
        assert not by_bytes.outputs[0].HasField("contents")

    run(scenario)


@pytest.mark.parametrize(
    ("datatype", "where"),
    [("INT8", "int_contents"), ("INT64", "int64_contents"), ("UINT16", "uint_contents"), ("UINT64", "uint64_contents")],
)
def test_integers_are_numbers_too(bundles, tmp_path, datatype, where):
    async def scenario():
        inputs = [tensor("load_percent", datatype, **{where: [1, 2, 3, 4, 5]}), *typed()["inputs"][1:]]
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            answer = await client("ModelInfer", metadata=[SAME], **typed(inputs=inputs))
            rows = [{**row, "load_percent": number} for number, row in enumerate(ROWS, start=1)]
            by_row = await served.predict(*rows, **{"X-Request-Id": "same"})
        assert list(answer.outputs[0].contents.fp64_contents) == by_row["predictions"]

    run(scenario)


def test_outputs_version_and_parameters_are_as_over_rest(bundles, tmp_path):
    async def scenario():
        wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name="model_version")]
        inputs = [each for each in typed()["inputs"] if each.name not in ("reading", "read_at")]
        parameters = {
            "key": pb.InferParameter(string_param="same-for-all"),
            "read_at": pb.InferParameter(string_param="2024-03-01T10:00:00Z"),
        }
        first = record(bundles, champion=1, previous=2)
        async with serving(workload, tmp_path, first) as served, grpc_client(served.predictor) as client:
            asked = typed(inputs=inputs, outputs=wanted, parameters=parameters, model_version="2")
            answer = await client("ModelInfer", **asked)
            unknown = await client.refusal("ModelInfer", **typed(model_version="7"))
        assert [(each.name, list(each.contents.int_contents)) for each in answer.outputs] == [
            ("model_version", [2] * 5)
        ]
        assert answer.parameters["degraded"].bool_param is False
        assert answer.parameters["processing_time_ms"].double_param > 0
        assert unknown[:2] == ("NOT_FOUND", "Version '7' is not served; served are [1, 2].")

    run(scenario)


def test_a_degraded_answer_says_so_and_why(tmp_path):
    async def scenario():
        fragile = changed_toy(tmp_path, "fragile_over_grpc", FRAGILE)
        pair = {1: make_bundle(tmp_path, "tests.toy", seed=1), 2: make_bundle(tmp_path, fragile, seed=2)}
        inputs = [
            pb.ModelInferRequest.InferInputTensor(
                name="load_percent", datatype="FP64", shape=[1], contents=pb.InferTensorContents(fp64_contents=[95.0])
            ),
            pb.ModelInferRequest.InferInputTensor(
                name="site", datatype="BYTES", shape=[1], contents=pb.InferTensorContents(bytes_contents=[b"alpha"])
            ),
        ]
        first = record(pair, champion=2, previous=1)
        async with serving(workload, tmp_path, first) as served, grpc_client(served.predictor) as client:
            answer = await client("ModelInfer", model_name="toy", inputs=inputs)
        assert answer.parameters["degraded"].bool_param is True
        assert "version 1 answered" in answer.parameters["degraded_reason"].string_param
        assert answer.model_version == "1"

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        run(scenario)


def test_health_and_metadata(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            assert (await client("ServerLive", None)).live
            assert (await client("ServerReady", None)).ready
            assert (await client("ModelReady", None, name="toy")).ready
            assert (await client("ModelReady", None, name="toy", version="1")).ready
            server = await client("ServerMetadata", "viewer")
            found = await client("ModelMetadata", "viewer", name="toy")
            async with served.client("viewer") as over_rest:
                document = (await over_rest.get("/v2/models/toy")).json()
        assert (server.name, list(server.extensions)) == ("heliostat", ["binary_tensor_data"])
        assert (found.name, list(found.versions), found.platform) == ("toy", ["1"], "heliostat")
        for side in ("inputs", "outputs"):
            messages = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(found, side)]
            assert messages == document[side]

    run(scenario)


def test_before_the_first_champion_it_lives_and_is_not_ready(tmp_path):
    async def scenario():
        first = record({}, champion=None)
        async with serving(workload, tmp_path, first) as served, grpc_client(served.predictor) as client:
            assert (await client("ServerLive", None)).live
            assert not (await client("ServerReady", None)).ready
            assert not (await client("ModelReady", None, name="toy")).ready
            code, sentence, trailers = await client.refusal("ModelInfer", **typed())
        assert (code, "promote it" in sentence, trailers["retry-after"]) == ("UNAVAILABLE", True, "1")

    run(scenario)


def spoiled(change):
    request = pb.ModelInferRequest(**typed())
    change(request)
    return request.SerializeToString()


def as_bytes_of_one(tensor):
    tensor.datatype = "INT8"
    tensor.contents.Clear()
    tensor.contents.int_contents.extend([1, 2, 300, 4, 5])


WRONG = {
    "shape": (lambda r: r.inputs[0].shape.__setitem__(0, 6), "must have the shape [5] of its data"),
    "negative shape": (lambda r: r.inputs[0].shape.__setitem__(0, -5), "must have the shape [5] of its data"),
    "three dimensions": (lambda r: r.inputs[0].shape.extend([1, 1]), "must have the shape [5] of its data"),
    "BOOL for a number": (lambda r: setattr(r.inputs[0], "datatype", "BOOL"), "must have datatype FP16 or FP32"),
    "BYTES for a number": (lambda r: setattr(r.inputs[0], "datatype", "BYTES"), "values in bytes_contents"),
    "FP16 typed": (lambda r: setattr(r.inputs[0], "datatype", "FP16"), "raw_input_contents only"),
    "no such datatype": (lambda r: setattr(r.inputs[0], "datatype", "FP7"), "got 'FP7'"),
    "more than the datatype holds": (lambda r: as_bytes_of_one(r.inputs[0]), "from -128 to 127; got 300"),
    "values elsewhere": (lambda r: setattr(r.inputs[0], "datatype", "FP32"), "got fp64_contents"),
    "no values": (lambda r: r.inputs[0].ClearField("contents"), "got neither"),
    "raw beside typed": (lambda r: r.raw_input_contents.append(b""), "one element for each of the 5 inputs"),
    "no UTF-8": (lambda r: r.inputs[2].contents.bytes_contents.__setitem__(3, b"\xff"), "element 3 is no text"),
    "twice": (lambda r: r.inputs.append(r.inputs[0]), "'load_percent' is there twice"),
    "no inputs": (lambda r: r.ClearField("inputs"), "got no list `inputs`"),
    "unknown column": (lambda r: setattr(r.inputs[0], "name", "nobody"), "'nobody'"),
    "unknown output": (lambda r: r.outputs.add(name="nobody"), "There is no output"),
    "out of range": (lambda r: r.inputs[0].contents.fp64_contents.__setitem__(2, 900), "column 'load_percent'"),
    "NaN": (lambda r: r.inputs[0].contents.fp64_contents.__setitem__(2, float("nan")), "column 'load_percent'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_is_wrong_is_told_what_and_never_internal(bundles, tmp_path, what):
    async def scenario():
        change, words = WRONG[what]
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            code, sentence, _ = await client.refusal("ModelInfer", raw=spoiled(change))
        assert code == "INVALID_ARGUMENT", sentence
        assert words in sentence

    run(scenario)


def test_raw_contents_that_do_not_fit_are_told(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            short = raw()
            short["raw_input_contents"] = [b"1234", *short["raw_input_contents"][1:]]
            both = raw(inputs=typed()["inputs"])
            torn = raw()
            torn["raw_input_contents"] = [*torn["raw_input_contents"][:2], b"\x09\x00", *map(packed, ("site", "site"))]
            refusals = [await client.refusal("ModelInfer", **fields) for fields in (short, both, torn)]
            garbage = await client.refusal("ModelInfer", raw=b"\xff\xff\xff")
        assert {code for code, *_ in refusals} == {"INVALID_ARGUMENT"}
        assert "of 5 FP64 takes 40 bytes; got 4 bytes" in refusals[0][1]
        assert "both contents and raw_input_contents" in refusals[1][1]
        assert "ends inside element 0" in refusals[2][1]
        assert (garbage[0], "no inference.ModelInferRequest" in garbage[1]) == ("INVALID_ARGUMENT", True)

    run(scenario)


CROWDED = {
    "inputs": pb.ModelInferRequest(model_name="toy", inputs=[pb.ModelInferRequest.InferInputTensor()] * 200_000),
    "outputs": pb.ModelInferRequest(
        model_name="toy", outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="id")] * 200_000
    ),
    "raw_input_contents": pb.ModelInferRequest(model_name="toy", raw_input_contents=[b""] * 200_000),
    "parameters": pb.ModelInferRequest(
        model_name="toy", parameters={f"p{number}": pb.InferParameter() for number in range(50_000)}
    ),
    "rows": pb.ModelInferRequest(
        model_name="toy",
        inputs=[
            pb.ModelInferRequest.InferInputTensor(
                name="site",
                datatype="BYTES",
                shape=[500_000],
                contents=pb.InferTensorContents(bytes_contents=[b""] * 500_000),
            )
        ],
    ),
}


@pytest.mark.parametrize("what", CROWDED)
def test_a_crowded_message_is_refused_without_holding_up_the_others(bundles, tmp_path, what):
    raw = CROWDED[what].SerializeToString()
    assert len(raw) < workload.serving.max_body_bytes

    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            code, sentence, _ = await client.refusal("ModelInfer", raw=raw)
        assert (code, what in sentence) == ("INVALID_ARGUMENT", True), sentence

    begun_s = time.process_time()
    run(scenario)
    assert time.process_time() - begun_s < 1.0


def test_who_may_not_is_told_in_the_sentences_of_rest(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            nobody = await client.refusal("ModelInfer", None, **typed())
            stranger = await client.refusal("ModelInfer", "stranger", **typed())
            viewer = await client.refusal("ModelInfer", "viewer", **typed())
            other = await client.refusal("ModelInfer", **typed(model_name="other"))
            async with served.client(None) as over_rest:
                sentence = (await over_rest.post("/v2/models/toy/infer", json={})).json()["detail"]
        assert nobody[:2] == ("UNAUTHENTICATED", sentence)
        assert nobody[2]["www-authenticate"].startswith("Bearer")
        assert stranger[0] == "UNAUTHENTICATED"
        assert plaintext("stranger") not in stranger[1]
        assert (viewer[0], "'viewer'" in viewer[1]) == ("PERMISSION_DENIED", True)
        assert other[:2] == ("NOT_FOUND", "There is no model 'other' here; this address serves 'toy'.")

    run(scenario)


def test_a_key_has_one_allowance_over_both_protocols(bundles, tmp_path):
    async def scenario():
        limited = replace(
            workload, serving=replace(workload.serving, num_replicas=1, requests_per_s=0.001, burst_requests=2)
        )
        async with serving(limited, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            await served.predict(*ROWS)
            await client("ModelInfer", **typed())
            code, sentence, trailers = await client.refusal("ModelInfer", **typed())
        assert (code, "Key caller may send" in sentence) == ("RESOURCE_EXHAUSTED", True)
        assert int(trailers["grpc-retry-pushback-ms"]) == 1000 * int(trailers["retry-after"])

    run(scenario)


def test_a_deadline_that_cannot_be_met_ends_the_call_unscored(bundles, tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            late = await client.refusal("ModelInfer", metadata=[("x-grpc-timeout", "1n")], **typed())
            wrong = await client.refusal("ModelInfer", metadata=[("x-grpc-timeout", "soon")], **typed())
            header = await client.refusal("ModelInfer", metadata=[("x-request-timeout-seconds", "0")], **typed())
            assert served.predictor.admission.num_shed == 1
        assert (late[0], "dropped unscored" in late[1]) == ("DEADLINE_EXCEEDED", True)
        assert (wrong[0], header[0]) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")

    run(scenario)


def test_too_many_rows_and_too_many_bytes_are_refused(bundles, tmp_path):
    async def scenario():
        small = replace(workload, serving=replace(workload.serving, max_rows_per_request=4, max_body_bytes=600))
        async with serving(small, tmp_path, record(bundles)) as served, grpc_client(served.predictor) as client:
            rows = await client.refusal("ModelInfer", **typed())
            size = await client.refusal("ModelInfer", raw=b"\x0a" + b"x" * 600)
        assert (rows[0], "may have 4 rows" in rows[1]) == ("INVALID_ARGUMENT", True)
        assert size[:2] == ("INVALID_ARGUMENT", "A body may have 600 bytes; send fewer rows at once.")

    run(scenario)
