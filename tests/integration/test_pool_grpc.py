"""Many workloads in one process over gRPC: the model's name says which."""

import sys

import pytest

from heliostat.serving.generated import open_inference_pb2 as pb
from serve_apps.together.pool_calls import PoolCalls
from tests.integration.grpc_fixture import client_of
from tests.integration.pool_fixture import declared, make_module, member, pool_record, pooling
from tests.integration.predictor_fixture import ROW, make_bundle, run

NAMES = ("one", "two")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("made")
    sys.path.insert(0, str(home))
    try:
        refs = {name: declared(home, make_module(home, name)) for name in NAMES}
        return refs, {number: make_bundle(home, "tests.toy", seed=number) for number in (1, 2)}
    finally:
        sys.path.remove(str(home))


def members(made):
    refs, bundles = made
    return {
        name: member(refs[name], {number: bundles[number]}, champion=number)
        for number, name in enumerate(NAMES, start=1)
    }


def asked(model):
    tensor, contents = pb.ModelInferRequest.InferInputTensor, pb.InferTensorContents
    number = contents(fp64_contents=[ROW["load_percent"]])
    text = contents(bytes_contents=[ROW["site"].encode()])
    inputs = [
        tensor(name="load_percent", datatype="FP64", shape=[1], contents=number),
        tensor(name="site", datatype="BYTES", shape=[1], contents=text),
    ]
    return {"model_name": model, "inputs": inputs}


def test_each_model_is_answered_by_its_own_version_and_loaded_when_asked(made, tmp_path):
    async def scenario():
        record = pool_record(members(made), max_loaded_models=1)
        async with pooling(tmp_path, record) as served, client_of(PoolCalls(served.pool)) as client:
            assert served.loaded == {}
            for number, name in enumerate(NAMES, start=1):
                answer = await client("ModelInfer", **asked(name))
                assert (answer.model_name, answer.model_version) == (name, str(number))
                assert (await client("ModelReady", None, name=name)).ready
                assert served.loaded == {name: [number]}
            assert (await client("ServerLive", None)).live

    run(scenario)


def test_a_model_that_is_not_there_and_a_message_that_is_none_are_told(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record(members(made))) as served, client_of(PoolCalls(served.pool)) as client:
            unknown = await client.refusal("ModelInfer", **asked("three"))
            garbage = await client.refusal("ModelInfer", raw=b"\xff\xff\xff")
            stranger = await client.refusal("ModelInfer", None, **asked("one"))
        assert (unknown[0], "There is no workload 'three' here" in unknown[1]) == ("NOT_FOUND", True)
        assert (garbage[0], "names no model" in garbage[1]) == ("INVALID_ARGUMENT", True)
        assert stranger[0] == "UNAUTHENTICATED"

    run(scenario)


def test_an_empty_pool_is_unavailable(tmp_path):
    async def scenario():
        async with pooling(tmp_path, pool_record({})) as served, client_of(PoolCalls(served.pool)) as client:
            code, sentence, trailers = await client.refusal("ServerReady", None)
        assert (code, "deploy one" in sentence, trailers["retry-after"]) == ("UNAVAILABLE", True, "1")

    run(scenario)
