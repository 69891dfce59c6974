"""Which application a gRPC call reaches: a real HAProxy with the rules that the launcher adds, and two real servers."""

import asyncio
import socket
from contextlib import asynccontextmanager

import grpc
import pytest

from heliostat.serving.generated import open_inference_pb2 as pb
from tests import haproxy

SERVICE = "/inference.GRPCInferenceService/"


class Echo(grpc.GenericRpcHandler):
    """Answers any call with the name of its server and the metadata that arrived."""

    def __init__(self, name):
        self._name = name

    def service(self, details):
        async def call(request, context):
            sent = [f"{name}={value}" for name, value in context.invocation_metadata()]
            return "\n".join([self._name, str(len(request)), *sent]).encode()

        return grpc.unary_unary_rpc_method_handler(call)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def echo_server(name, port):
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Echo(name),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server


@asynccontextmanager
async def ingress(tmp_path):
    ports = dict(zip(("metrics", "http", "grpc", "stats", "one", "two"), free_ports(6), strict=True))
    own = {name: ports.pop(name) for name in ("one", "two")}
    servers = {name: await echo_server(name, port) for name, port in own.items()}
    try:
        with haproxy.running(tmp_path, haproxy.rendered(ports, own)):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
                await asyncio.wait_for(channel.channel_ready(), timeout=10)
                yield channel, servers
    finally:
        for server in servers.values():
            await server.stop(None)


async def call(channel, method, message=b"", *, metadata=(), timeout=5.0, compression=None):
    """The server that answered, the length it received, and the metadata that arrived there."""
    sent = message if isinstance(message, bytes) else message.SerializeToString()
    answer = await channel.unary_unary(method)(sent, metadata=metadata, timeout=timeout, compression=compression)
    name, length, *arrived = answer.decode().split("\n")
    return name, int(length), dict(pair.split("=", 1) for pair in arrived)


async def refusal(*args, **options):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(*args, **options)
    return refused.value.code().name, refused.value.details()


def run(tmp_path, scenario):
    async def whole():
        async with ingress(tmp_path) as (channel, servers):
            await scenario(channel, servers)

    asyncio.run(whole())


def test_a_call_goes_to_the_application_named_like_its_model(tmp_path):
    async def scenario(channel, _):
        for name in ("one", "two"):
            assert (await call(channel, f"{SERVICE}ModelReady", pb.ModelReadyRequest(name=name)))[0] == name
            assert (await call(channel, f"{SERVICE}ModelMetadata", pb.ModelMetadataRequest(name=name)))[0] == name
            request = pb.ModelInferRequest(model_name=name, model_version="3", raw_input_contents=[b"x" * 100])
            assert (await call(channel, f"{SERVICE}ModelInfer", request))[0] == name

    run(tmp_path, scenario)


def test_a_message_larger_than_the_buffer_is_routed_and_arrives_whole(tmp_path):
    async def scenario(channel, _):
        request = pb.ModelInferRequest(model_name="two", raw_input_contents=[b"x" * 3_000_000])
        name, length, _ = await call(channel, f"{SERVICE}ModelInfer", request)
        assert (name, length) == ("two", len(request.SerializeToString()))

    run(tmp_path, scenario)


def test_the_metadata_counts_more_than_the_model(tmp_path):
    async def scenario(channel, _):
        request = pb.ModelInferRequest(model_name="one")
        named = await call(channel, f"{SERVICE}ModelInfer", request, metadata=[("application", "two")])
        unknown = await refusal(channel, f"{SERVICE}ModelInfer", request, metadata=[("application", "three")])
        assert named[0] == "two"
        assert unknown == ("NOT_FOUND", "not ours")

    run(tmp_path, scenario)


def test_a_model_of_no_application_is_told_with_those_there_are(tmp_path):
    async def scenario(channel, _):
        strange = pb.ModelReadyRequest(name="no\r\nsuch: 100% model")
        code, sentence = await refusal(channel, f"{SERVICE}ModelReady", strange)
        nameless = await refusal(channel, f"{SERVICE}ModelReady", b"")
        assert (code, nameless[0]) == ("NOT_FOUND", "NOT_FOUND")
        assert sentence.startswith("There is no model 'no\r\nsuch: 100% model' here; the models here are one or two.")
        assert nameless[1].startswith("The call names no model that can be read; the models here are one or two.")

    run(tmp_path, scenario)


def test_a_compressed_message_needs_the_metadata_and_says_so(tmp_path):
    async def scenario(channel, _):
        request = pb.ModelInferRequest(model_name="one", raw_input_contents=[b"x" * 5000])
        squeezed = {"compression": grpc.Compression.Gzip}
        code, sentence = await refusal(channel, f"{SERVICE}ModelInfer", request, **squeezed)
        named = await call(channel, f"{SERVICE}ModelInfer", request, metadata=[("application", "one")], **squeezed)
        assert (code, "send the metadata application" in sentence) == ("NOT_FOUND", True)
        assert named[:2] == ("one", len(request.SerializeToString()))

    run(tmp_path, scenario)


def test_an_id_a_time_and_the_deadline_come_with_every_call(tmp_path):
    async def scenario(channel, _):
        request = pb.ModelInferRequest(model_name="one")
        made = (await call(channel, f"{SERVICE}ModelInfer", request, metadata=[("x-grpc-timeout", "9H")]))[2]
        own = (await call(channel, f"{SERVICE}ModelInfer", request, metadata=[("x-request-id", "mine")]))[2]
        serves = (await call(channel, f"{SERVICE}ModelInfer", request, metadata=[("request_id", "mine")]))[2]
        unhurried = (await call(channel, f"{SERVICE}ModelInfer", request, timeout=None))[2]
        assert len(made["request_id"]) == 36
        assert made["x-received-at-ms"].isdigit()
        assert made["x-grpc-timeout"] not in ("9H", "")
        assert (own["request_id"], serves["request_id"]) == ("mine", "mine")
        assert "x-grpc-timeout" not in unhurried

    run(tmp_path, scenario)


def test_the_server_as_a_whole_is_answered_for_by_an_application_that_is_up(tmp_path):
    async def scenario(channel, servers):
        assert (await call(channel, f"{SERVICE}ServerLive"))[0] == "one"
        await servers["one"].stop(None)
        await asyncio.sleep(0.5)
        assert (await call(channel, f"{SERVICE}ServerReady"))[0] == "two"
        assert (await call(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"))[0] == "two"
        dead = await refusal(channel, f"{SERVICE}ModelReady", pb.ModelReadyRequest(name="one"))
        assert dead[0] == "UNAVAILABLE"

    run(tmp_path, scenario)
