"""Bare Ray Serve: `@serve.batch`, HAProxy mode and the throughput preset, and nothing of Heliostat."""

import numpy as np
import orjson
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.network import NUM_INPUTS, network, probabilities


@serve.deployment(max_ongoing_requests=200, ray_actor_options={"num_cpus": 0.1})
class Network:
    """The rows of a batch of requests go through the network together."""

    def __init__(self) -> None:
        self.layers = network()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def answers(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """One array a request."""
        ends = np.cumsum([len(each) for each in inputs])[:-1]
        return np.split(probabilities(self.layers, np.concatenate(inputs)), ends)

    async def __call__(self, request: Request) -> Response:
        """Rows as lists in JSON, or as the bytes of a float32 matrix."""
        body = await request.body()
        if request.headers.get("content-type") == "application/octet-stream":
            inputs = np.frombuffer(body, np.float32).reshape(-1, NUM_INPUTS).copy()
            return Response((await self.answers(inputs)).tobytes(), media_type="application/octet-stream")
        answers = await self.answers(np.array(orjson.loads(body)["instances"], np.float32))
        document = orjson.dumps({"predictions": answers}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(document, media_type="application/json")


def application(arguments: dict[str, str]) -> serve.Application:
    """What Serve's declaration names."""
    return Network.options(num_replicas=int(arguments["replicas"]), logging_config={"enable_access_log": False}).bind()
