"""Kinds of labels: `task_of` is the one place that tells them apart."""

from heliostat.labels import Binary, Classes, Label, Quantity
from heliostat.tasks.binary import BinaryTask
from heliostat.tasks.classes import ClassesTask
from heliostat.tasks.quantity import QuantityTask
from heliostat.tasks.task import Task, Values, repeated, told_arrays

BINARY: Task = BinaryTask(Binary("label"))
"""What holds for any label of two values."""

__all__ = [
    "BINARY",
    "BinaryTask",
    "ClassesTask",
    "QuantityTask",
    "Task",
    "Values",
    "repeated",
    "task_of",
    "told_arrays",
]


def task_of(label: Label) -> Task:
    """What depends on the kind of a declared label."""
    match label:
        case Binary():
            return BinaryTask(label)
        case Classes():
            return ClassesTask(label)
        case Quantity():
            return QuantityTask(label)
