"""After a change the first turn has few rows of the new kind, and the world may still move: when to look again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

GROWTH = 4  # the next turn comes when the rows since the change are so many times what they were at the last one


@dataclass(frozen=True, kw_only=True)
class FollowUps:
    """Counts labelled rows since a change, and says when to turn again; a turn in between counts as one.

    Distances grow while nothing more is won by turning; a turn that won much keeps the distance: the world still moves.
    """

    is_following: bool = False
    last_rows: int | None = None
    next_rows: int | None = None

    def started(self) -> "FollowUps":
        """A change was seen; the distances begin with the end of the turn that follows."""
        return FollowUps(is_following=True)

    def turned(self, num_rows: int, *, is_moving: bool) -> "FollowUps":
        """A turn ended with so many labelled rows since the change; whether its winner won much by them."""
        if not self.is_following:
            return self
        is_first = self.last_rows is None
        distance = num_rows - (self.last_rows or 0)
        next_rows = num_rows + distance if is_moving and not is_first else GROWTH * max(num_rows, 1)
        return replace(self, next_rows=next_rows, last_rows=num_rows)

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
