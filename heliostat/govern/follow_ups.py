"""After a change the first turn has few rows of the new kind, and the world may still move: when to look again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

GROWTH = 4  # the next turn comes when the rows since the change are so many times what they were at the last one


@dataclass(frozen=True, kw_only=True)
class FollowUps:
    """Counts labelled rows since a change, and says when to turn again; a turn in between counts as one.

    Distances grow while nothing more is won by turning; while the world still moves they stay. The first one, and those
    while it moves, are at most `max_rows` long where that is given: what moves slowly was seen late, on many rows.
    """

    is_following: bool = False
    last_rows: int | None = None
    next_rows: int | None = None

    def started(self) -> "FollowUps":
        """A change was seen; the distances begin with the end of the turn that follows."""
        return FollowUps(is_following=True)

    @classmethod
    def of_turn(cls, *, max_rows: int) -> "FollowUps":
        """A turn saw the world move, which nobody had said: the distances begin with its end."""
        return FollowUps(is_following=True, last_rows=0, next_rows=max_rows)

    def turned(self, num_rows: int, *, is_moving: bool, max_rows: int | None = None) -> "FollowUps":
        """A turn ended with so many labelled rows since the change; whether it showed that the world still moves."""
        if not self.is_following:
            return self
        is_first, is_kept = self.last_rows is None, is_moving and self.last_rows is not None
        distance = num_rows - (self.last_rows or 0) if is_kept else GROWTH * max(num_rows, 1) - num_rows
        if max_rows is not None and (is_first or is_moving):
            distance = min(distance, max_rows)
        # Without a row more there is nothing to look at again, however near the turns are.
        return replace(self, next_rows=num_rows + max(distance, 1), last_rows=num_rows)

    def due(self, num_rows: int) -> str | None:
        """The reason to turn again when there are enough rows since the change; None before."""
        if self.next_rows is None or num_rows < self.next_rows:
            return None
        return f"{num_rows:,} labelled rows since the change, {self.last_rows:,} at the last turn"

    def asked(self) -> "FollowUps":
        """The turn was asked for; its end sets the next distance."""
        return replace(self, next_rows=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values of the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FollowUps":
        """What `to_json` wrote."""
        return cls(**value)
