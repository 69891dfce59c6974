"""What a model is fitted to for each kind of label: how many outputs a row, which loss, and from outputs to answers.

An output is a logit, one logit a class, or a quantity in standard deviations of the training labels from their mean.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from heliostat.errors import TrainingError
from heliostat.learn.calibrate import Calibration
from heliostat.learn.calibrate_classes import ClassesCalibration
from heliostat.learn.calibrate_classes_isotonic import IsotonicClassesCalibration
from heliostat.learn.calibrate_isotonic import IsotonicCalibration
from heliostat.learn.calibrate_quantity import QuantityCalibration
from heliostat.tasks import ClassesTask, QuantityTask, Task

Values = NDArray[np.float64]
Blocks = NDArray[np.int64]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Calibrated(Protocol):
    """What was learned about outputs: from them to answers."""

    def answers(self, outputs: Values) -> Values:
        """The answers of outputs, in the shape of the task."""

    def doubt(self) -> "Calibrated":
        """What of it makes answers less sure: what a model that has learned from these rows may still need."""

    def to_json(self) -> str:
        """All of it as JSON."""


class Objective(Protocol):
    """What one fit aims at."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of a row's outputs: () for one number."""

    @property
    def boosting(self) -> Mapping[str, Any]:
        """XGBoost's objective, and the loss that ends the boosting."""

    def loss(self, own: Loss | None) -> Loss:
        """From outputs and targets (float32) to the mean loss; `own` is the workload's in place of the usual one."""

    def targets(self, labels: Values) -> Values:
        """Labels as models are fitted to them: few enough digits that float32 keeps them."""

    def calibration(self, outputs: Values, labels: Values, *, blocks: Blocks) -> Calibrated:
        """From outputs for rows that nothing was fitted to: what makes answers of outputs."""

    def carried(self, calibration: Calibrated) -> Calibrated:
        """What was calibrated for a fit to other rows with labels of this kind, for outputs of this one."""


@dataclass(frozen=True)
class BinaryObjective:
    """One logit; its calibration is a line, or any rising curve."""

    outputs: tuple[int, ...] = ()
    isotonic: bool = False

    @property
    def boosting(self) -> Mapping[str, Any]:
        """Logistic loss."""
        return {"objective": "binary:logistic", "eval_metric": "logloss"}

    def loss(self, own: Loss | None) -> Loss:
        """Binary cross entropy."""
        return own or binary_cross_entropy_with_logits

    def targets(self, labels: Values) -> Values:
        """0 and 1."""
        return labels

    def calibration(self, outputs: Values, labels: Values, *, blocks: Blocks) -> Calibrated:
        """A line through the logits, or a rising curve."""
        kind = IsotonicCalibration if self.isotonic else Calibration
        return kind.fit(outputs, labels, blocks=blocks)

    def carried(self, calibration: Calibrated) -> Calibrated:
        """The same: logits have no units of their own."""
        return calibration


@dataclass(frozen=True)
class ClassesObjective:
    """One logit a class; its calibration is a temperature, or a rising curve for each class."""

    num_classes: int
    isotonic: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:
        """One a class."""
        return (self.num_classes,)

    @property
    def boosting(self) -> Mapping[str, Any]:
        """Softmax over the classes."""
        return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": self.num_classes}

    def loss(self, own: Loss | None) -> Loss:
        """Cross entropy; a loss of the workload's own is given places of classes as integers."""
        chosen = own or cross_entropy
        return lambda outputs, labels: chosen(outputs, labels.long())

    def targets(self, labels: Values) -> Values:
        """The places of the classes."""
        return labels

    def calibration(self, outputs: Values, labels: Values, *, blocks: Blocks) -> Calibrated:
        """A temperature, or rising curves."""
        kind = IsotonicClassesCalibration if self.isotonic else ClassesCalibration
        return kind.fit(outputs, labels, blocks=blocks)

    def carried(self, calibration: Calibrated) -> Calibrated:
        """The same: logits have no units of their own."""
        return calibration


@dataclass(frozen=True)
class QuantityObjective:
    """One quantity, standardised by the mean and the standard deviation of the training labels."""

    task: QuantityTask
    centre: float
    scale: float
    outputs: tuple[int, ...] = ()

    @property
    def boosting(self) -> Mapping[str, Any]:
        """Squared error."""
        return {"objective": "reg:squarederror", "eval_metric": "rmse"}

    def loss(self, own: Loss | None) -> Loss:
        """Squared error; a loss of the workload's own is given standardised labels."""
        return own or mse_loss

    def targets(self, labels: Values) -> Values:
        """Standardised labels."""
        return (labels - self.centre) / self.scale

    def calibration(self, outputs: Values, labels: Values, *, blocks: Blocks) -> Calibrated:
        """How far labels lie from what the outputs say."""
        return QuantityCalibration.fit(outputs, labels, label=self.task.label, centre=self.centre, scale=self.scale)

    def carried(self, calibration: Calibrated) -> Calibrated:
        """Errors as they were found, values from outputs in units of these labels; other rows had other units."""
        if not isinstance(calibration, QuantityCalibration):
            raise TrainingError(
                f"A {type(calibration).__name__} makes no quantity of outputs; give the calibration of a quantity."
            )
        return replace(calibration, centre=self.centre, scale=self.scale)


def outputs_of(task: Task) -> tuple[int, ...]:
    """The shape of a row's outputs: one logit a class, for all else one number."""
    return task.shape if isinstance(task, ClassesTask) else ()


def objective_of(task: Task, labels: Values, *, isotonic: bool = False) -> Objective:
    """What a fit to rows with these labels aims at; `isotonic` is how probabilities are calibrated."""
    match task:
        case ClassesTask():
            return ClassesObjective(task.shape[0], isotonic=isotonic)
        case QuantityTask():
            return QuantityObjective(task, centre=float(labels.mean()), scale=_spread(task, labels) or 1.0)
        case _:
            return BinaryObjective(isotonic=isotonic)


def _spread(task: QuantityTask, labels: Values) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(labels.std())
    if not np.isfinite(spread):
        raise TrainingError(
            f"The labels go from {labels.min():g} to {labels.max():g}, so far that their standard deviation is no "
            f"finite number; tell {task.label.name!r} in a larger unit, or mend it where the rows come from."
        )
    return spread


def calibration_from_json(task: Task, text: str) -> Calibrated:
    """The calibration that `to_json` wrote for a model of this task."""
    match task:
        case ClassesTask():
            is_curves = "curves" in json.loads(text)
            return IsotonicClassesCalibration.from_json(text) if is_curves else ClassesCalibration.from_json(text)
        case QuantityTask():
            return QuantityCalibration.from_json(text)
        case _:
            return IsotonicCalibration.from_json(text) if "margins" in json.loads(text) else Calibration.from_json(text)
