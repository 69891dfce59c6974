"""How many rows are answered at once where nothing is learned from them: no more than memory takes that could learn."""

import gc
from collections.abc import Callable
from typing import TypeVar

from heliostat.declared.training import Training
from heliostat.learn.faults import RAISED, is_out_of_memory
from heliostat.learn.shares import rows_at_once
from heliostat.workload import Encoded

Outputs = TypeVar("Outputs")
# To answer takes a layer or two of what learning keeps: all layers of the network, and a gradient for each.
MOST_PIECES = 8


def piece_rows(training: Training) -> int:
    """How many rows a worker learns from at once; where the last of them divides unevenly it may be one more."""
    return max(1, training.batch_size // (training.accumulate * training.most_workers))


def most_rows(training: Training) -> int:
    """How many rows at most a network answers at once: so that where memory fails, a smaller batch always helps."""
    return MOST_PIECES * piece_rows(training)


def in_portions(
    answered: Callable[[int, int], tuple[Outputs, Encoded]],
    *,
    num_rows: int,
    first_rows: int,
    most_rows: int | None = None,
    may_halve: bool = True,
) -> list[Outputs]:
    """What `answered` gives for the rows from a start up to an end, all rows in order.

    It tells what `encode` made of them, too, by which the portions after the first are sized: as much as makes a few
    MiB, at least `first_rows`, at most `most_rows`. Where memory does not suffice the portions are halved down to one
    row; workers that answer together each see their own memory, so of them none may.
    """
    found: list[Outputs] = []
    start, size, most = 0, first_rows, num_rows if most_rows is None else most_rows
    while start < num_rows:
        end = min(num_rows, start + size)
        answer = _where_room(answered, start, end) if may_halve and end - start > 1 else answered(start, end)
        if answer is None:
            gc.collect()  # the error holds what was made before it, and is itself part of a circle
            size = most = (end - start) // 2
            continue
        outputs, encoded = answer
        found.append(outputs)
        size = min(most, max(first_rows, rows_at_once(num_bytes(encoded) / (end - start))))
        start = end
    return found


def _where_room(
    answered: Callable[[int, int], tuple[Outputs, Encoded]], start: int, end: int
) -> tuple[Outputs, Encoded] | None:
    try:
        return answered(start, end)
    except RAISED as error:
        if not is_out_of_memory(error):
            raise
    return None


def num_bytes(encoded: Encoded) -> int:
    """How much memory what `encode` gave takes."""
    return sum(tensor.nbytes for tensor in encoded.values())
