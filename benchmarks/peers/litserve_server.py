"""LitServe: batches of up to 64 within 2 ms, its fast queue (ZeroMQ), one API server and one inference worker each.

Usage: litserve_server.py PORT WORKERS
"""

import sys

import litserve
import numpy as np

from benchmarks.network import network, probabilities


class Network(litserve.LitAPI):
    """A request has some rows; the rows of a batch of requests go through the network together."""

    def setup(self, device: str) -> None:
        """Once in every worker."""
        self.layers = network()

    def decode_request(self, request: dict) -> np.ndarray:
        """Rows as lists in JSON."""
        return np.array(request["instances"], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """All rows, and how many each request has."""
        return np.concatenate(inputs), [len(each) for each in inputs]

    def predict(self, batch: tuple[np.ndarray, list[int]]) -> tuple[np.ndarray, list[int]]:
        """A probability a row."""
        inputs, sizes = batch
        return probabilities(self.layers, inputs), sizes

    def unbatch(self, answered: tuple[np.ndarray, list[int]]) -> list[np.ndarray]:
        """One array a request."""
        answers, sizes = answered
        return np.split(answers, np.cumsum(sizes)[:-1])

    def encode_response(self, answers: np.ndarray) -> dict[str, list[float]]:
        """As JSON."""
        return {"predictions": answers.tolist()}


if __name__ == "__main__":
    port, num_workers = int(sys.argv[1]), int(sys.argv[2])
    api = Network(max_batch_size=64, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=num_workers, fast_queue=True, timeout=30)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=num_workers,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
