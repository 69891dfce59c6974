"""What a mistake in a user's code is told as: one sentence with file and line, the row, and what to do next."""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from heliostat.errors import HeliostatError, TrainingError
from heliostat.learn import parallel
from heliostat.learn.examples import Examples
from heliostat.metrics import Metric
from heliostat.workload import Workload

Answer = TypeVar("Answer")
Work = Callable[[Examples], Answer]
Values = NDArray[np.float64]
INSTALLED = frozenset({"heliostat", "torch", "numpy", "builtins"})
NEXT = "Mend it there, and train under a new name (--run)."
RAISED = (Exception, SystemExit)  # what a user's code may end with: sys.exit() there is as much a mistake as a KeyError


class StepFaultError(TrainingError):
    """Something in the rows of one step, which other workers may not have seen, ends the fit."""


class NoMemoryError(StepFaultError):
    """The memory did not suffice for what was done at once."""


def guarded(
    name: str, workload: Workload, work: Work[Answer], examples: Examples, *, again: Work[object] | None = None
) -> Answer:
    """What the workload's own code makes of these examples; whatever it raises becomes one StepFaultError.

    `again` does the same to some of the rows without learning from them, so that the first one that fails is found.
    """
    try:
        return work(examples)
    except RAISED as error:
        told = fault(name, workload, error, examples, again=again or work)
        if told is None:
            raise
        raise told from error


@contextmanager
def telling(name: str, workload: Workload) -> Iterator[None]:
    """What is done within has all rows in it or none: what it raises becomes one StepFaultError without a row."""
    try:
        yield
    except RAISED as error:
        if isinstance(error, HeliostatError) or parallel.is_lost_peer(error):
            raise
        if is_out_of_memory(error):
            raise NoMemoryError(
                f"{said(name, workload, error)}: the memory does not suffice for its weights, their gradients and the "
                "two numbers that each of them is learned with; make it smaller, or take a larger node, or lay it out "
                "over several workers (Training(shard=True))."
            ) from error
        raise StepFaultError(f"{said(name, workload, error)}. {NEXT}") from error


def fault(
    name: str, workload: Workload, error: BaseException, examples: Examples, *, again: Work[object]
) -> StepFaultError | None:
    """What to raise in place of what the workload's own code raised; None: it says so itself, or is no fault of it.

    `name` is the user's word for the code; `again` does the same to some of the rows without learning from them.
    """
    if isinstance(error, HeliostatError) or parallel.is_lost_peer(error):
        return None
    if is_out_of_memory(error):
        return NoMemoryError(_out_of_memory(name, workload, error, num_rows=examples.num_rows))
    row = first_failing(again, examples)
    at = "" if row is None else f" on {examples.row_name(row)}"
    return StepFaultError(f"{said(name, workload, error, at=at)}. {NEXT}")


def said(name: str, workload: Workload, error: BaseException, *, at: str = "") -> str:
    """What failed with what and where, without the remedy; `name` is the user's word for the code."""
    found = place(workload, error) or definition(workload, name)
    return f"{name} failed with {named(error)}{at}{'' if found is None else f' ({found})'}"


def named(error: BaseException) -> str:
    """The type of an error and the first line of what it says, or of what it says after a traceback."""
    lines = str(error).strip().splitlines()
    is_traceback = bool(lines) and lines[0].startswith("Traceback")
    frames = [number for number, line in enumerate(lines) if line.lstrip().startswith('File "')]
    after = frames[-1] + 1 if frames else int(is_traceback)
    first_line = next((line.strip() for line in lines[after:] if line.strip() and not line.startswith(" ")), "")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def scored(workload: Workload, metric: Metric, labels: Values, answers: Values) -> float:
    """What a metric says, which may be the user's own: whatever it raises is a mistake in the workload."""
    try:
        return float(metric(labels, answers))
    except RAISED as error:
        raise TrainingError(f"{said(f'metric {metric.name!r}', workload, error)}. {NEXT}") from error


def own_fault(workload: Workload, error: BaseException) -> str | None:
    """One sentence on what passed through the workload's own source, wherever it was called; None for anything else."""
    if isinstance(error, HeliostatError) or parallel.is_lost_peer(error) or place(workload, error) is None:
        return None
    return f"{said('the code of the workload', workload, error)}. {NEXT}"


def guarded_metrics(workload: Workload) -> tuple[Metric, ...]:
    """All that a version is scored by, each as `scored` does."""

    def told(metric: Metric) -> Metric:
        return replace(metric, function=lambda labels, answers: scored(workload, metric, labels, answers))

    return tuple(map(told, workload.scored_by))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this process or its device had no memory left."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError | NoMemoryError) or "allocate memory" in str(error)


def _out_of_memory(name: str, workload: Workload, error: BaseException, *, num_rows: int) -> str:
    if num_rows == 1:
        return (
            f"{said(name, workload, error)}: the memory does not suffice for a single row; make the network or what "
            "encode gives smaller, or take a larger node."
        )
    return (
        f"{said(name, workload, error)}: the memory does not suffice for {num_rows:,} rows at once; lower "
        f"Training(batch_size={workload.training.batch_size}), or learn from each batch in more pieces "
        f"(accumulate={2 * workload.training.accumulate}), or make the network or what encode gives smaller."
    )


def first_failing(work: Work[object], examples: Examples) -> int | None:
    """The first row that fails by itself where others do not; None when every row does, or none alone."""
    if not _fails(work, examples, 0, examples.num_rows):
        return None
    passing, failing = 0, examples.num_rows  # how many rows from the first on
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if _fails(work, examples, 0, middle):
            failing = middle
        else:
            passing = middle
    row = failing - 1
    if not _fails(work, examples, row, row + 1):
        return None
    is_every = row == 0 and examples.num_rows > 1 and _fails(work, examples, examples.num_rows - 1, examples.num_rows)
    return None if is_every else row


def _fails(work: Work[object], examples: Examples, start: int, end: int) -> bool:
    with suppress(*RAISED):  # what it raises was seen before; here only whether it does counts
        work(examples.take(np.arange(start, end)))
        return False
    return True


def place(workload: Workload, error: BaseException) -> str | None:
    """File and line of the innermost frame in the workload's own source; None when the error passed none."""
    own = _own_packages(workload)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in own:
            return _place(frame.f_code.co_filename, module, line)
    return None


def definition(workload: Workload, name: str) -> str | None:
    """File and line where the workload's `encode`, `model` or `loss` begins; the network's is `model`'s."""
    return defined_at(getattr(workload, "model" if name == "the network" else name, None))


def defined_at(function: object) -> str | None:
    """File and line where a user's function begins; None for what is installed, and for what is no function."""
    function = getattr(function, "func", function)  # functools.partial
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    module = getattr(function, "__module__", None) or "builtins"
    if code is None or module.partition(".")[0] in INSTALLED:
        return None
    return _place(code.co_filename, module, code.co_firstlineno)


def _own_packages(workload: Workload) -> frozenset[str]:
    functions = (workload.encode, workload.model, workload.loss)
    modules = [getattr(getattr(each, "func", each), "__module__", None) or "builtins" for each in functions]
    modules.append(type(workload.source).__module__)
    return frozenset(module.partition(".")[0] for module in modules) - INSTALLED


def _place(file: str, module: str, line: int) -> str:
    """The path below the import root: where the cluster unpacked the code helps nobody."""
    depth = module.count(".") + (2 if Path(file).name == "__init__.py" else 1)
    parts = [each for each in Path(file).parts[-depth:] if not each.startswith("<")]  # a bundle's name is no folder
    return f"{'/'.join(parts)}, line {line}"
