"""A network that answers: the workload's encode and model with fitted weights."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.errors import BundleError, SettingsError
from heliostat.learn.encoder import on_device
from heliostat.learn.forward import forward
from heliostat.learn.objective import outputs_of
from heliostat.learn.prepare import Preparation
from heliostat.learn.state import Tensors
from heliostat.workload import Batch, Encoded, Workload

KIND = "network"
FILE = "weights.safetensors"


class NetworkAnswers:
    """A fitted network, ready to answer; any number of threads may ask at once."""

    def __init__(self, workload: Workload, preparation: Preparation, weights: Tensors) -> None:
        self._workload = workload
        self._module = _network(workload, preparation, weights)
        self._device = "cpu"
        self._outputs = outputs_of(workload.task)

    @property
    def num_bytes(self) -> int:
        """How large its weights are."""
        return sum(tensor.nbytes for tensor in self._module.state_dict().values())

    def encode(self, batch: Batch) -> Encoded:
        """What the network sees."""
        return self._workload.encode(batch)

    def logits(self, encoded: Encoded, *, num_rows: int) -> NDArray[np.float64]:
        """The network's own answer for each row, the shape of a kind of label."""
        with torch.inference_mode():
            placed = on_device(encoded, self._device)
            logits = forward(self._module, placed, shape=(num_rows, *self._outputs))
        return logits.cpu().numpy().astype(np.float64)

    def move_to(self, device: str) -> None:
        """The network answers on this device from now on; nobody may be asking it meanwhile.

        SettingsError when this process has none such.
        """
        if device != "cpu" and not torch.cuda.is_available():
            raise SettingsError(
                f"A network of {self._workload.name!r} shall answer on {device!r}, but torch {torch.__version__} sees "
                "no GPU here; install a build of torch for the GPU's driver, or leave gpus_per_replica out."
            )
        self._module.to(device)
        self._device = device


def _network(workload: Workload, preparation: Preparation, weights: Tensors) -> nn.Module:
    module = workload.model(preparation.sizes)
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise BundleError(f"The weights do not fit the network of {workload.name!r}: {error}") from error
    return module.eval().requires_grad_(requires_grad=False)
