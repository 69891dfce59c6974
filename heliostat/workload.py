"""What a user declares: one frozen record in one file, checked before anything runs."""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Category, Column, Number, Text
from heliostat.declared.inputs import Combine, Input, asked, refuse_unfit_inputs
from heliostat.declared.judging import refuse_unfit_default, refuse_unfit_judging
from heliostat.declared.long_answers import LongAnswers
from heliostat.declared.loop import Loop
from heliostat.declared.replay import Replay
from heliostat.declared.revisions import Revision, logged_columns, refuse_unfit
from heliostat.declared.serving import Serving
from heliostat.declared.training import Training
from heliostat.declared.trees import Trees
from heliostat.declared.tuning import Tuning
from heliostat.declared.watching import Watching, refuse_unknown, refuse_untold
from heliostat.errors import HeliostatError, WorkloadError
from heliostat.gates import BetterThanConstant, Gate, NoWorseThanChampion, Scored
from heliostat.labels import Label
from heliostat.metrics import Metric
from heliostat.tasks import Task, task_of
from heliostat.triggers import Age, Decay, Trigger, singles
from heliostat.typed import refuse_wrong_types

if TYPE_CHECKING:  # torch takes seconds to import, and most parts that read a declaration never need it
    import torch
    from torch import nn

Batch = Mapping[str, NDArray[np.generic]]
"""Prepared columns: numbers float64 clamped to the range seen in training (NaN: missing), categories int64 codes.

Vectors are float32 of shape (num_rows, length), a missing one NaN throughout, and may lie in memory that must not be
written to: `heliostat.learn.network.tensor` makes a tensor of one without a copy.
"""

OF_THE_LABEL: Any = None
"""Stands for what is usual for the kind of label."""

Encoded = Mapping[str, "torch.Tensor"]


class Source(Protocol):
    """Where rows come from, in parts that can be read side by side."""

    def parts(self) -> Sequence[str]:
        """The names of all parts, in time order."""

    def read(self, part: str) -> pa.Table:
        """One part as a flat table: key, event time, due time, input columns, label and its time."""


def no_encode(_: Batch) -> Encoded:
    """Stands for the encode of a workload without a network."""
    raise WorkloadError("The workload has trees alone; give `encode` and `model` for a network too.")


def no_model(_: Mapping[str, int]) -> "nn.Module":
    """Stands for the network of a workload without one."""
    raise WorkloadError("The workload has trees alone; give `encode` and `model` for a network too.")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One use case: data, columns, model, gates, triggers.

    `encode` and `model` declare a network, `trees` boosted trees; with both, each training fits both kinds.

    `label` is Binary, Classes or Quantity; `metrics` and `gates` are by its kind where they are left out.
    `due_time` names when a row's label should be known; without it that is estimated from how long labels took.

    `columns` is the contract's current `revision`; `earlier` are revisions before it that are still answered.
    `inputs` and `combine` name other workloads whose answers this one uses.
    """

    name: str
    source: Source
    key: str
    event_time: str
    label_time: str
    columns: Sequence[Column]
    label: Label
    due_time: str | None = None
    encode: Callable[[Batch], Encoded] = no_encode
    model: Callable[[Mapping[str, int]], "nn.Module"] = no_model
    trees: Trees | None = None
    loss: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None" = None
    metrics: Sequence[Metric] = OF_THE_LABEL
    gates: Sequence[Gate] = OF_THE_LABEL
    retrain_on: Sequence[Trigger] = (Age(timedelta(days=30)),)
    training: Training = field(default_factory=Training)
    tuning: Tuning | None = None
    serving: Serving = field(default_factory=Serving)
    loop: Loop = field(default_factory=Loop)
    watching: Watching = field(default_factory=Watching)
    long_answers: LongAnswers = field(default_factory=LongAnswers)
    replay: Replay | None = None
    inputs: Sequence[Input] = ()
    combine: Combine | None = None
    revision: int = 1
    earlier: Sequence[Revision] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.label, Label):
            raise WorkloadError(f"Workload(label={self.label!r}): give Binary(...), Classes(...) or Quantity(...).")
        if self.metrics is OF_THE_LABEL:
            object.__setattr__(self, "metrics", self.task.metrics)
        if self.gates is OF_THE_LABEL:
            usual = (BetterThanConstant(self.task.loss), NoWorseThanChampion(self.task.loss))
            object.__setattr__(self, "gates", usual)
        refuse_wrong_types(self)
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise WorkloadError(
                f"The name of a workload becomes part of its address; got {self.name!r}. Use letters, digits, - and _."
            )
        if not self.columns:
            raise WorkloadError(f"Workload {self.name!r} declares no columns; a model needs at least one input.")
        self._refuse_unfit_models()
        if self.tuning is not None and self.tuning.kind not in self.kinds:
            raise WorkloadError(
                f"Workload {self.name!r} declares a search space for its {self.tuning.kind} and has none; it has "
                f"{' and '.join(self.kinds)}."
            )
        self._refuse_twice_named()
        refuse_unfit_judging(self.name, self.task, metrics=self.metrics, gates=self.gates, triggers=self.retrain_on)
        refuse_unfit_default(self.name, self.task, self.serving.default)
        if self.task.kind == "quantity" and self.training.isotonic:
            raise WorkloadError(
                f"Workload {self.name!r} asks for Training(isotonic=True), which is for labels of two or more values; "
                "leave it out."
            )
        if self.task.kind == "quantity" and self.training.warm_start:
            raise WorkloadError(
                f"Workload {self.name!r} has a quantity as its label, whose scale every fit learns anew; leave "
                "warm_start out."
            )
        if self.training.stream and ("trees" in self.kinds or self.due_time is None):
            raise WorkloadError(
                f"Workload {self.name!r} asks for Training(stream=True), and "
                + ("trees need all rows at once" if self.due_time is not None else "has no due_time")
                + ": only networks are streamed, on rows that tell when they are due; leave stream out."
            )
        refuse_unfit_inputs(self.name, self.columns, inputs=self.inputs, combine=self.combine, task=self.task)
        refuse_unfit(self.columns, self.earlier, current=self.revision)
        refuse_untold(self.name, self.watching, triggers=self.retrain_on)
        refuse_unknown(
            self.name,
            self.watching,
            columns=[column.name for column in self.columns if isinstance(column, Number | Category)],
        )

    @property
    def task(self) -> Task:
        """What depends on the kind of the label."""
        return task_of(self.label)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of model that are fitted, in the order of fitting: what is quick comes first."""
        declared = {"trees": self.trees is not None, "network": self.model is not no_model}
        return tuple(kind for kind, is_declared in declared.items() if is_declared)

    @property
    def asks(self) -> tuple[str, ...]:
        """The other workloads that this one asks."""
        return asked(self.inputs, self.combine)

    @property
    def logged_columns(self) -> tuple[Column, ...]:
        """The columns of the log and the lake: the current ones, and those that an earlier revision still has."""
        return logged_columns(self.columns, self.earlier)

    @property
    def scored_by(self) -> tuple[Metric, ...]:
        """All that a version is scored by: the built-in metrics, the declared ones, those of gates and triggers."""
        asked = [gate.metric for gate in self.gates if isinstance(gate, Scored)]
        asked += [trigger.metric for trigger in singles(self.retrain_on) if isinstance(trigger, Decay)]
        return tuple(dict.fromkeys([*self.task.metrics, *self.metrics, *asked]))

    def _refuse_unfit_models(self) -> None:
        if (self.encode is no_encode) != (self.model is no_model) or not self.kinds:
            raise WorkloadError(
                f"Workload {self.name!r} declares no model; give `encode` and `model` for a network, trees=Trees() for "
                "boosted trees, or all three."
            )
        if self.trees is not None and all(isinstance(column, Text) for column in self.columns):
            raise WorkloadError(
                f"Workload {self.name!r} declares trees, which see numbers, categories and vectors, and has "
                "texts alone; leave trees out."
            )

    def _refuse_twice_named(self) -> None:
        own = [self.key, self.event_time, self.due_time or "due_time", self.label_time, self.label.name]
        names = [column.name for column in self.columns] + own
        twice = sorted({name for name in names if names.count(name) > 1})
        twice += sorted({column.name for each in self.earlier for column in each.columns} & set(own))
        if twice:
            raise WorkloadError(
                f"Workload {self.name!r} names {', '.join(twice)} more than once; an input cannot be the key, "
                "a time or the label too. Leave it out of `columns`."
            )


def load(name: str) -> Workload:
    """The variable `workload` of the module called `name` (for example "workloads.flights"); WorkloadError without."""
    try:
        module = importlib.import_module(name)
    except HeliostatError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and name.startswith(error.name):
            raise WorkloadError(f"No workload {name!r}; there are: {', '.join(_names())}.") from error
        raise WorkloadError(
            f"{name} cannot be imported: {type(error).__name__}: {error!s:.300}{_imported_at(name, error)}; mend it "
            "there, or install what it needs."
        ) from error
    workload = getattr(module, "workload", None)
    if not isinstance(workload, Workload):
        raise WorkloadError(f"{name} has no variable `workload` that is a Workload; add `workload = Workload(...)`.")
    return workload


def _imported_at(name: str, error: BaseException) -> str:
    """File and line of the innermost frame in the workload's own package, or of what is no Python."""
    if isinstance(error, SyntaxError):
        return ""  # it says so itself
    package = name.partition(".")[0]
    frames = [
        (frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [(file, line) for module, file, line in frames if str(module).partition(".")[0] == package]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def _names() -> list[str]:
    package = importlib.import_module("workloads")
    return [f"workloads.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
