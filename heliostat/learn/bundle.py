"""What a bundle holds, as files: weights or trees, the workload's source, what was learned about columns, the origin.

Nothing in it is a pickle; loading runs the workload's own source and nothing else.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files as package_files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from heliostat.columns import Column
from heliostat.declared.tuning import Configuration
from heliostat.learn import network_answers, source_code, trees
from heliostat.learn.fit import Fitted
from heliostat.learn.network_answers import NetworkAnswers
from heliostat.learn.objective import outputs_of
from heliostat.learn.served_model import FORMAT, SOURCE_FOLDER, Answers, ServedModel
from heliostat.learn.source_code import SourceCode
from heliostat.learn.trees import TreeAnswers
from heliostat.workload import Workload

__all__ = ["ServedModel", "constant_of", "described_constant", "kind_of", "served", "to_files"]


def to_files(
    module: str,
    fitted: Fitted,
    *,
    profile: Mapping[str, Any],
    lineage: Mapping[str, Any],
    configuration: Configuration | None = None,
) -> dict[str, bytes]:
    """The files of a bundle by path, the same bytes for the same arguments.

    `module` names the workload's module, whose source travels; `lineage` adds what the caller knows (snapshot, run);
    `configuration` is what was tuned, and is put in again where the bundle is loaded.
    """
    source = source_code.collect(module)
    described: dict[str, Any] = {"format": FORMAT, "kind": kind_of(fitted), "module": module}
    described |= {"source_digest": source.digest}
    if configuration:
        described["configuration"] = dict(configuration)
    contract = [_described(column) for column in source_code.load(source).columns]
    return {
        **{SOURCE_FOLDER + path: content for path, content in source.files.items()},
        **_learned(fitted),
        "preparation.json": fitted.preparation.to_json().encode(),
        "calibration.json": fitted.calibration.to_json().encode(),
        "profile.json": _to_json(profile),
        "contract.json": _to_json(contract),
        "lineage.json": _to_json({**_origin(fitted, source), **lineage}),
        "model.json": _to_json(described),
    }


def served(workload: Workload, fitted: Fitted) -> ServedModel:
    """A fitted model that answers at once, as it will after its way through a bundle."""
    if fitted.trees is None:
        answers: Answers = NetworkAnswers(workload, fitted.preparation, fitted.weights)
    else:
        answers = TreeAnswers(fitted.trees, outputs=outputs_of(workload.task))
    return ServedModel(
        workload,
        answers,
        preparation=fitted.preparation,
        calibration=fitted.calibration,
        lineage={},
        profile={},
    )


def kind_of(fitted: Fitted) -> str:
    """What was fitted: "network" or "trees"."""
    return network_answers.KIND if fitted.trees is None else trees.KIND


def _learned(fitted: Fitted) -> dict[str, bytes]:
    if fitted.trees is not None:
        return {trees.FILE: fitted.trees}
    # Clones, because tied weights share memory, which the format refuses.
    weights = {name: tensor.contiguous().clone() for name, tensor in fitted.weights.items()}
    return {network_answers.FILE: save(weights)}


def _origin(fitted: Fitted, source: SourceCode) -> dict[str, Any]:
    """Where a model is from, as far as this side knows."""
    return {
        "source_digest": source.digest,
        "learn_digest": _learn_digest(),
        "torch": str(torch.__version__),
        **({} if fitted.trees is None else {"xgboost": str(trees.xgboost().__version__)}),
        "python": platform.python_version(),
        "seed": fitted.seed,
        "num_rows": fitted.num_rows,
        "num_validation_rows": fitted.num_validation_rows,
        **described_constant(fitted.constant),
        "first_event_at": fitted.first_event_at.isoformat(),
        "last_event_at": fitted.last_event_at.isoformat(),
        "validated_until": fitted.validated_until.isoformat(),
        "best_epoch": fitted.best_epoch,
        "history": [asdict(scores) for scores in fitted.history],
    }


def described_constant(constant: NDArray[np.float64]) -> dict[str, Any]:
    """The best constant answer by the training rows, as the lineage has it; `constant_of` reads it."""
    return {"label_rate": float(constant)} if constant.shape == () else {"constant_answer": constant.tolist()}


def constant_of(lineage: Mapping[str, Any]) -> NDArray[np.float64]:
    """The constant answer that gates compare with."""
    return np.asarray(lineage.get("constant_answer", lineage.get("label_rate")), np.float64)


def _learn_digest() -> str:
    """Names the code of this package, which prepares, fits and calibrates."""
    digest = hashlib.sha256()
    for file in sorted(package_files("heliostat.learn").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _described(column: Column) -> dict[str, Any]:
    return {"kind": type(column).__name__.lower(), **asdict(column)}


def _to_json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
