"""What it costs a gRPC call that its application is found by its model's name: p50 and p99 with and without.

Starts an installation with the network of `benchmarks/network.py` and one replica, and asks it over one connection, in
turn: at the replica's own port, through the ingress with the metadata `application`, through the ingress without it,
and through a process that reads the name and forwards, which is what the ingress makes needless. `make bench-grpc`.
With `--rules-alone` HAProxy stands with the same rules before a server that computes nothing, and Ray is not started.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
import numpy as np

from benchmarks import questions
from benchmarks.clusters import heliostat
from benchmarks.mlp import NAMES, workload
from benchmarks.places import DEFAULT_BASE_PORT, ROOT, Places
from heliostat.serving.generated import open_inference_pb2 as pb
from tests import haproxy

MODULE = "benchmarks.mlp"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
WARM_UP_CALLS = 50
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Call = Callable[[bytes], bytes]
Metadata = list[tuple[str, str]]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _arguments().parse_args(argv)
    if options.forward:
        asyncio.run(_serve(options.forward[0], _forward(options.forward[1])))
        return 0
    if options.answer:
        asyncio.run(_serve(options.answer, _answer))
        return 0
    places = Places(base_port=options.base_port)
    with _rules_alone(places) if options.rules_alone else heliostat(places, MODULE) as scale:
        key = [("authorization", f"Bearer {scale(1)}")]
        ports = places.settings.ports
        with _process("--forward", places.peer_port, ports.grpc):
            calls = {
                "replica's own port": _call(ports.direct_grpc[0], key),
                "ingress, application named": _call(ports.grpc, [*key, ("application", workload.name)]),
                "ingress, by the model's name": _call(ports.grpc, key),
                "forwarding process before the ingress": _call(places.peer_port, key),
            }
            print("| way | rows | calls/s | p50 ms | p99 ms |\n|---|---|---|---|---|")
            for num_rows, num_calls in ((1, 200), (4096, 20)):
                _measure(calls, num_rows=num_rows, num_calls=num_calls, rounds=options.rounds)
    return 0


def _measure(calls: dict[str, Call], *, num_rows: int, num_calls: int, rounds: int) -> None:
    message = _message(num_rows)
    seconds: dict[str, list[float]] = {way: [] for way in calls}
    for way, call in calls.items():
        _require_answer(way, call(message), num_rows=num_rows)
        for _ in range(WARM_UP_CALLS if num_rows == 1 else 5):
            call(message)
    for _ in range(rounds):  # in turn, so that all share what noise the machine has
        for way, call in calls.items():
            for _ in range(num_calls):
                started_s = time.perf_counter()
                call(message)
                seconds[way].append(time.perf_counter() - started_s)
    for way, taken in seconds.items():
        p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1000
        print(f"| {way} | {num_rows} | {len(taken) / sum(taken):.0f} | {p50:.2f} | {p99:.2f} |", flush=True)


def _message(num_rows: int) -> bytes:
    columns = questions.rows(num_rows).astype("<f8").T
    tensor = pb.ModelInferRequest.InferInputTensor
    request = pb.ModelInferRequest(
        model_name=workload.name,
        inputs=[tensor(name=name, datatype="FP64", shape=[num_rows]) for name in NAMES],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="probability")],
        raw_input_contents=[np.ascontiguousarray(column).tobytes() for column in columns],
    )
    return request.SerializeToString()


def _require_answer(way: str, answer: bytes, *, num_rows: int) -> None:
    shape = list(pb.ModelInferResponse.FromString(answer).outputs[0].shape)
    if shape != [num_rows]:
        raise SystemExit(f"error: {way} answered shape {shape}, asked were {num_rows} rows.")


def _call(port: int, metadata: Metadata) -> Call:
    # An option of its own gives each a connection of its own.
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)])
    method = channel.unary_unary(METHOD)

    def call(message: bytes) -> bytes:
        answer: bytes = method(message, metadata=metadata, timeout=30)
        return answer

    return call


@contextmanager
def _process(option: str, port: int, *others: int) -> Iterator[None]:
    """This program as another process, from when it listens on the port to the end of the block."""
    command = [sys.executable, "-m", "benchmarks.grpc_gateway", option, *map(str, (port, *others))]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(timeout=30)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _rules_alone(places: Places) -> Iterator[Callable[[int], str]]:
    ports, directory = places.settings.ports, places.settings.home / "rules-alone"
    directory.mkdir(parents=True, exist_ok=True)
    named = {"metrics": ports.haproxy_metrics, "http": ports.http, "grpc": ports.grpc, "stats": ports.haproxy_stats}
    configuration = haproxy.rendered(named, {workload.name: ports.direct_grpc[0]})
    with _process("--answer", ports.direct_grpc[0]), haproxy.running(directory, configuration):
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{ports.grpc}")).result(timeout=30)
        yield lambda _: "none-needed"


async def _serve(port: int, handler: Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]) -> None:
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(handler)}
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def _forward(target: int) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
    """The least that a gateway of its own must do: parse, name the application, hand on metadata and deadline."""
    channels: list[grpc.aio.Channel] = []

    async def forward(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if not channels:  # made on the server's own event loop
            channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{target}", options=OPTIONS))
        name = pb.ModelInferRequest.FromString(message).model_name
        sent = [(key, value) for key, value in context.invocation_metadata() or () if key != "user-agent"]
        answer: bytes = await channels[0].unary_unary(METHOD)(
            message, metadata=[*sent, ("application", name)], timeout=context.time_remaining()
        )
        return answer

    return forward


async def _answer(message: bytes, _: grpc.aio.ServicerContext) -> bytes:
    request = pb.ModelInferRequest.FromString(message)
    response = pb.ModelInferResponse(model_name=request.model_name)
    response.outputs.add(name="probability", shape=request.inputs[0].shape)
    return response.SerializeToString()


def _arguments() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--base-port", type=int, default=DEFAULT_BASE_PORT, help="1,000 ports (default: %(default)s)")
    made.add_argument("--rounds", type=int, default=10, help="how often every way has its turn (default: %(default)s)")
    made.add_argument("--rules-alone", action="store_true", help="HAProxy before a server of no use, without Ray")
    made.add_argument("--answer", type=int, metavar="PORT", help="be the server of no use")
    made.add_argument("--forward", type=int, nargs=2, metavar=("PORT", "TARGET"), help="be the forwarding process")
    return made


if __name__ == "__main__":
    sys.exit(main())
