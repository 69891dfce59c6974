"""KServe's Python server: rows in its V1 protocol, columns as one binary tensor in its V2 protocol.

Usage: kserve_server.py --http_port PORT --workers WORKERS --enable_grpc false --enable_latency_logging false
"""

import kserve
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, ModelServer, model_server

from benchmarks.network import network, probabilities


class Network(kserve.Model):
    """Answers in the event loop: the network is quicker than a hand-over to a thread."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        """The network is in memory."""
        self.layers = network()
        self.ready = True
        return True

    async def predict(
        self, payload: dict | InferRequest, headers: dict | None = None, response_headers: dict | None = None
    ) -> dict | InferResponse:
        """A probability a row, in the protocol of the request."""
        if isinstance(payload, dict):
            inputs = np.array(payload["instances"], np.float32)
            return {"predictions": probabilities(self.layers, inputs).tolist()}
        answers = probabilities(self.layers, np.array(payload.inputs[0].as_numpy(), np.float32))
        output = InferOutput("probability", list(answers.shape), "FP32")
        output.set_data_from_numpy(answers, binary_data=True)
        return InferResponse(payload.id or "", self.name, [output])


if __name__ == "__main__":
    arguments = model_server.parser.parse_args()
    ModelServer(access_log_format=None).start([Network("mlp")])
