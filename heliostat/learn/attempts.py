"""What the attempts at one run say together: how long they took, and where their processes ended by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One worker's attempt: when it began (nanoseconds, to order by), for how long it was heard of, and its last place.

    `place` is empty where the attempt ended in order, with or without an error.
    """

    began_ns: int
    rank: int
    used_s: float
    place: str


def used_s(attempts: Sequence[Attempt]) -> float:
    """How long the first worker was at work in all of them, in seconds; what lay between them does not count."""
    return sum(each.used_s for each in attempts if each.rank == 0)


def last_places(attempts: Sequence[Attempt], *, rank: int) -> tuple[int, str] | None:
    """How many of a worker's last attempts ended at one same place, and which; None where the last ended in order.

    The other workers of an attempt are ended by Ray wherever they are, so each worker is looked at by itself.
    """
    own = sorted((each for each in attempts if each.rank == rank), key=lambda each: each.began_ns)
    if not own or not own[-1].place:
        return None
    place = own[-1].place
    num_alike = next((count for count, each in enumerate(reversed(own)) if each.place != place), len(own))
    return num_alike, place
