"""A predictor's gRPC calls on a real gRPC server in this process, wired as Serve wires them, and a client of them."""

from contextlib import asynccontextmanager

import grpc
from ray.serve.grpc_util import RayServegRPCContext

from heliostat.serving.generated import open_inference_pb2 as pb
from serve_apps.protocols.grpc_calls import GrpcCalls, InferenceService
from tests.integration.predictor_fixture import plaintext

SERVICE = "inference.GRPCInferenceService"


class Deployment(InferenceService):
    def __init__(self, calls):
        self.calls = calls


class Handlers(grpc.GenericRpcHandler):
    """What Serve's server does with a call: Serve's own context, the result as bytes, status and trailers copied."""

    def __init__(self, deployment):
        self._deployment = deployment

    def service(self, details):
        found = getattr(self._deployment, details.method.rpartition("/")[2], None)

        async def call(request, context):
            copied = RayServegRPCContext(context)
            copied.set_trailing_metadata([("request_id", copied.request_id() or "made-by-serve")])
            message = await found(request, grpc_context=copied)
            copied._set_on_grpc_context(context)
            return message.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(call) if found else None


class Client:
    """Calls by name; the key of a role is sent with each."""

    def __init__(self, channel):
        self._channel = channel

    async def __call__(self, name, role="caller", /, *, raw=None, metadata=(), timeout=None, **fields):
        call = self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message if raw is not None else message.SerializeToString(),
            response_deserializer=getattr(pb, f"{name}Response").FromString,
        )
        request = raw if raw is not None else getattr(pb, f"{name}Request")(**fields)
        key = [("authorization", f"Bearer {plaintext(role)}")] if role else []
        return await call(request, metadata=[*key, *metadata], timeout=timeout)

    async def refusal(self, name, /, *args, **fields):
        """The status and the sentence of a call that must fail, and its trailers."""
        try:
            await self(name, *args, **fields)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details(), dict(error.trailing_metadata())
        raise AssertionError(f"{name} was answered")


def grpc_client(predictor):
    """A client of one workload."""
    return client_of(GrpcCalls(predictor))


@asynccontextmanager
async def client_of(calls):
    """A client of whatever answers calls."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(Deployment(calls)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Client(channel)
    finally:
        await server.stop(None)
