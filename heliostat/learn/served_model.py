"""A model that answers: normalised rows in, calibrated probabilities out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from torch import nn

from heliostat.columns import Column
from heliostat.errors import BundleError
from heliostat.learn import source_code
from heliostat.learn.calibrate import Calibration
from heliostat.learn.epochs import forward, on_device
from heliostat.learn.prepare import Preparation
from heliostat.learn.state import Tensors
from heliostat.workload import Encoded, Workload

FORMAT = 1
KIND = "network"
SOURCE_FOLDER = "source/"
CHUNK_ROWS = 8192
WARM_UP_ROWS = (1, 3, 64)


class ServedModel:
    """One version, ready to answer; any number of threads may ask it at once."""

    def __init__(
        self,
        workload: Workload,
        weights: Tensors,
        *,
        preparation: Preparation,
        calibration: Calibration,
        lineage: Mapping[str, Any],
        profile: Mapping[str, Any],
    ) -> None:
        self.workload = workload
        self.preparation = preparation
        self.calibration = calibration
        self.lineage = lineage
        self.profile = profile
        self._module = _network(workload, preparation, weights)
        self._device = "cpu"

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> "ServedModel":
        """The model in a bundle's files, whose hashes the reader has verified; BundleError when they do not fit.

        Runs the workload's source that the bundle holds, and never unpickles.
        """
        described = json.loads(_file(files, "model.json"))
        _check_kind(described)
        return cls(
            source_code.load(_source(files, described)),
            _weights(files),
            preparation=Preparation.from_json(_file(files, "preparation.json").decode()),
            calibration=Calibration.from_json(_file(files, "calibration.json").decode()),
            lineage=json.loads(_file(files, "lineage.json")),
            profile=json.loads(_file(files, "profile.json")),
        )

    def move_to(self, device: str) -> None:
        """The network answers on this device from now on; nobody may be asking it meanwhile."""
        self._module.to(device)
        self._device = device

    @property
    def columns(self) -> Sequence[Column]:
        """What rows must hold for this version."""
        return self.workload.columns

    @property
    def num_bytes(self) -> int:
        """How large its weights are."""
        return sum(tensor.nbytes for tensor in self._module.state_dict().values())

    def encode(self, table: pa.Table) -> Encoded:
        """The tensors that the network sees for normalised rows; columns beside the declared ones do not matter."""
        return self.workload.encode(self.preparation.prepare(table))

    def logits(self, table: pa.Table) -> NDArray[np.float64]:
        """The network's own answer for each row, before calibration."""
        if table.num_rows <= CHUNK_ROWS:
            return self._logits(table)
        starts = range(0, table.num_rows, CHUNK_ROWS)
        return np.concatenate([self._logits(table.slice(start, CHUNK_ROWS)) for start in starts])

    def _logits(self, table: pa.Table) -> NDArray[np.float64]:
        if not table.num_rows:
            return np.zeros(0)
        with torch.inference_mode():
            encoded = self.encode(table)
            placed = encoded if self._device == "cpu" else on_device(encoded, self._device)
            logits = forward(self._module, placed, num_rows=table.num_rows)
        return logits.cpu().numpy().astype(np.float64)

    def probabilities(self, table: pa.Table) -> NDArray[np.float64]:
        """The calibrated probability of the label for each normalised row, in the order of the rows."""
        return self.calibration.probabilities(self.logits(table))

    def unknown_counts(self, table: pa.Table) -> dict[str, int]:
        """How many values of each category this version cannot tell from others that it never saw."""
        return self.preparation.unknown_counts(table)

    def warm(self) -> None:
        """Answer a few made-up rows, so that no caller waits for what torch does on first use.

        Leaves this process with one torch thread an operation: small requests are quicker so, and replicas share a
        node.
        """
        torch.set_num_threads(1)
        for num_rows in WARM_UP_ROWS:
            self.probabilities(self._middle_rows(num_rows))

    def _middle_rows(self, num_rows: int) -> pa.Table:
        value_by_name = {number.name: number.median for number in self.preparation.numbers}
        arrays = {
            column.name: pa.array([value_by_name.get(column.name)] * num_rows, column.arrow_type)
            for column in self.workload.columns
        }
        return pa.table(arrays)


def _network(workload: Workload, preparation: Preparation, weights: Tensors) -> nn.Module:
    module = workload.model(preparation.sizes)
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise BundleError(f"The weights do not fit the network of {workload.name!r}: {error}") from error
    return module.eval().requires_grad_(requires_grad=False)


def _check_kind(described: Mapping[str, Any]) -> None:
    if (described.get("format"), described.get("kind")) != (FORMAT, KIND):
        raise BundleError(
            f"The bundle is a {described.get('kind')!r} in format {described.get('format')!r}; this program loads "
            f"{KIND!r} in format {FORMAT}. Use the Heliostat version that wrote it."
        )


def _source(files: Mapping[str, bytes], described: Mapping[str, Any]) -> source_code.SourceCode:
    own = {path.removeprefix(SOURCE_FOLDER): data for path, data in files.items() if path.startswith(SOURCE_FOLDER)}
    source = source_code.SourceCode(module=described["module"], files=own)
    if source.digest != described["source_digest"]:
        raise BundleError(
            f"The source in the bundle has the hash {source.digest[:16]}, its model.json says "
            f"{described['source_digest'][:16]}; a file was changed, added or lost. Fetch the bundle again."
        )
    return source


def _weights(files: Mapping[str, bytes]) -> Tensors:
    try:
        return load_tensors(_file(files, "weights.safetensors"))
    except safetensors.SafetensorError as error:
        raise BundleError(f"weights.safetensors cannot be read ({error}); fetch the bundle again.") from error


def _file(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise BundleError(f"The bundle lacks {path}; it has {sorted(files)}. Fetch it again.")
    return files[path]
