"""gRPC calls at a steady rate, each sent once, over connections that are kept; as `load.Load` is for HTTP."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.steady.load import TIMEOUT_S, Sent
from heliostat.serving.generated import open_inference_pb2 as pb

METHOD = "/inference.GRPCInferenceService/ModelInfer"
# The client's own second tries are off: what is counted is what one call meets.
OPTIONS = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
NUM_CHANNELS = 4


@dataclass(kw_only=True)
class GrpcLoad:
    """Sends `requests_per_s` ModelInfer calls from a schedule, whether or not those before were answered."""

    target: str
    model: str
    key: str
    row: dict[str, Any]
    requests_per_s: float
    sent: list[Sent] = field(default_factory=list)
    _is_over: bool = False

    async def run(self) -> None:
        """Sends until `stop`; returns when every answer is there."""
        channels = [grpc.aio.insecure_channel(self.target, options=OPTIONS) for _ in range(NUM_CHANNELS)]
        calls = [channel.unary_unary(METHOD) for channel in channels]
        started_s, number, asked = time.perf_counter(), 0, set()
        while not self._is_over:
            task = asyncio.create_task(self._ask(calls[number % NUM_CHANNELS], number))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
            await asyncio.sleep(started_s + number / self.requests_per_s - time.perf_counter())
        await asyncio.gather(*asked)
        for channel in channels:
            await channel.close()

    def stop(self) -> None:
        """No further call is sent."""
        self._is_over = True

    async def _ask(self, call: Any, number: int) -> None:
        request = self._request(number)
        metadata = [("authorization", f"Bearer {self.key}"), ("x-request-id", request.id)]
        started_s, failure = time.perf_counter(), ""
        ids: tuple[str, ...] = ()
        try:
            answer = pb.ModelInferResponse.FromString(
                await call(request.SerializeToString(), metadata=metadata, timeout=TIMEOUT_S)
            )
            found = next(output for output in answer.outputs if output.name == "id")
            ids = tuple(each.decode() for each in found.contents.bytes_contents)
        except grpc.aio.AioRpcError as error:
            failure = f"{error.code().name} {error.details()!s:.80}"
        self.sent.append(Sent(sent_s=started_s, elapsed_s=time.perf_counter() - started_s, failure=failure, ids=ids))

    def _request(self, number: int) -> pb.ModelInferRequest:
        request = pb.ModelInferRequest(model_name=self.model, id=f"grpc-{time.monotonic_ns()}-{number}")
        for name, value in self.row.items():
            tensor = request.inputs.add(name=name, shape=[1])
            if isinstance(value, str):
                tensor.datatype = "BYTES"
                tensor.contents.bytes_contents.append(value.encode())
            else:
                tensor.datatype = "FP64"
                tensor.contents.fp64_contents.append(value)
        return request
