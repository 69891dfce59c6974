"""Triton through NVIDIA's pytriton: its dynamic batcher with 2 ms, one instance of the model a worker.

Usage: triton_server.py PORT WORKERS FREE_PORT FREE_PORT
"""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.network import NUM_INPUTS, network, probabilities

layers = network()


@batch
def infer(inputs: np.ndarray) -> list[np.ndarray]:
    """A probability a row."""
    return [probabilities(layers, np.array(inputs))[:, np.newaxis]]


if __name__ == "__main__":
    port, num_workers, grpc_port, metrics_port = map(int, sys.argv[1:5])
    settings = TritonConfig(
        http_address="127.0.0.1",
        http_port=port,
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        allow_metrics=False,
    )
    with Triton(config=settings) as triton:
        triton.bind(
            model_name="mlp",
            infer_func=[infer] * num_workers,
            inputs=[Tensor(name="inputs", dtype=np.float32, shape=(NUM_INPUTS,))],
            outputs=[Tensor(name="probability", dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=4096, batcher=DynamicBatcher(max_queue_delay_microseconds=2000)),
        )
        triton.serve()
