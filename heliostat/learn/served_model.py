"""A model that answers: normalised rows in, calibrated answers out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors

from heliostat.columns import Column
from heliostat.errors import BundleError, WorkloadError
from heliostat.learn import network_answers, source_code, trees
from heliostat.learn.network_answers import NetworkAnswers
from heliostat.learn.objective import Calibrated, calibration_from_json, outputs_of
from heliostat.learn.portions import in_portions, most_rows, piece_rows
from heliostat.learn.prepare import Preparation
from heliostat.learn.state import Tensors
from heliostat.learn.trees import TreeAnswers
from heliostat.learn.tuned import with_model_options
from heliostat.workload import Batch, Encoded, Workload

FORMAT = 1
KINDS = (network_answers.KIND, trees.KIND)
SOURCE_FOLDER = "source/"
WARM_UP_ROWS = (1, 3, 64)


class Answers(Protocol):
    """A fitted model of any kind: prepared columns to tensors, tensors to outputs."""

    @property
    def num_bytes(self) -> int:
        """How much memory what was fitted takes."""

    def encode(self, batch: Batch) -> Encoded:
        """What the model sees of prepared columns."""

    def logits(self, encoded: Encoded, *, num_rows: int) -> NDArray[np.float64]:
        """The outputs of every row, in the shape of the kind of label."""

    def move_to(self, device: str) -> None:
        """Answer on this device where that helps."""


class ServedModel:
    """One version, ready to answer; any number of threads may ask it at once."""

    def __init__(
        self,
        workload: Workload,
        answers: Answers,
        *,
        preparation: Preparation,
        calibration: Calibrated,
        lineage: Mapping[str, Any],
        profile: Mapping[str, Any],
    ) -> None:
        self.workload = workload
        self.preparation = preparation
        self.calibration = calibration
        self.lineage = lineage
        self.profile = profile
        self._answers = answers

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> "ServedModel":
        """The model in a bundle's files, whose hashes the reader has verified; BundleError when they do not fit.

        Runs the workload's source that the bundle holds, and never unpickles.
        """
        described = json.loads(_file(files, "model.json"))
        _check_kind(described)
        workload = with_model_options(source_code.load(_source(files, described)), described.get("configuration", {}))
        preparation = Preparation.from_json(_file(files, "preparation.json").decode())
        return cls(
            workload,
            _answers(described["kind"], files, workload, preparation),
            preparation=preparation,
            calibration=calibration_from_json(workload.task, _file(files, "calibration.json").decode()),
            lineage=json.loads(_file(files, "lineage.json")),
            profile=json.loads(_file(files, "profile.json")),
        )

    def move_to(self, device: str) -> None:
        """A network answers on this device from now on; nobody may be asking it meanwhile."""
        self._answers.move_to(device)

    @property
    def columns(self) -> Sequence[Column]:
        """What rows must hold for this version."""
        return self.workload.columns

    @property
    def kind(self) -> str:
        """What was fitted: "network" or "trees"."""
        return trees.KIND if isinstance(self._answers, TreeAnswers) else network_answers.KIND

    @property
    def num_bytes(self) -> int:
        """How large its weights or trees are."""
        return self._answers.num_bytes

    def encode(self, table: pa.Table) -> Encoded:
        """The tensors that the model sees for normalised rows; columns beside the declared ones do not matter."""
        return self._answers.encode(self.preparation.prepare(table))

    def logits(self, table: pa.Table) -> NDArray[np.float64]:
        """The model's own answer for each row, before calibration."""
        if not table.num_rows:
            return np.zeros((0, *outputs_of(self.workload.task)))
        training = self.workload.training
        portions = in_portions(
            lambda start, end: self._portion_logits(table.slice(start, end - start)),
            num_rows=table.num_rows,
            first_rows=piece_rows(training),
            most_rows=most_rows(training) if self.kind == network_answers.KIND else None,
        )
        return np.concatenate(portions)

    def _portion_logits(self, table: pa.Table) -> tuple[NDArray[np.float64], Encoded]:
        encoded = self.encode(table)
        return self._answers.logits(encoded, num_rows=table.num_rows), encoded

    def answers(self, table: pa.Table) -> NDArray[np.float64]:
        """The answer to each normalised row, as the workload's task has them, in the order of the rows."""
        return self.calibration.answers(self.logits(table))

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
            self.answers(self._middle_rows(num_rows))

    def _middle_rows(self, num_rows: int) -> pa.Table:
        value_by_name: dict[str, Any] = {number.name: number.median for number in self.preparation.numbers}
        value_by_name |= {vector.name: list(vector.mean) for vector in self.preparation.vectors}
        arrays = {
            column.name: pa.array([value_by_name.get(column.name)] * num_rows, column.arrow_type)
            for column in self.workload.columns
        }
        return pa.table(arrays)


def _check_kind(described: Mapping[str, Any]) -> None:
    if described.get("format") != FORMAT or described.get("kind") not in KINDS:
        raise BundleError(
            f"The bundle is a {described.get('kind')!r} in format {described.get('format')!r}; this program loads "
            f"{' and '.join(map(repr, KINDS))} in format {FORMAT}. Use the Heliostat version that wrote it."
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


def _answers(kind: str, files: Mapping[str, bytes], workload: Workload, preparation: Preparation) -> Answers:
    if kind == network_answers.KIND:
        return NetworkAnswers(workload, preparation, _weights(files))
    try:
        return TreeAnswers(_file(files, trees.FILE), outputs=outputs_of(workload.task))
    except WorkloadError as error:
        raise BundleError(str(error)) from error


def _weights(files: Mapping[str, bytes]) -> Tensors:
    try:
        return load_tensors(_file(files, network_answers.FILE))
    except safetensors.SafetensorError as error:
        raise BundleError(f"weights.safetensors cannot be read ({error}); fetch the bundle again.") from error


def _file(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise BundleError(f"The bundle lacks {path}; it has {sorted(files)}. Fetch it again.")
    return files[path]
