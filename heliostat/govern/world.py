"""What the loop believes about the world between its turns: whether it changed, still moves, and what was in vain."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from heliostat.govern.events import Asked
from heliostat.govern.follow_ups import FollowUps

GROWTH, FOLLOW_UP = "growth", "follow_up"
CALM = frozenset({GROWTH, "age", FOLLOW_UP})  # these ask without having seen a change
MAX_DOUBLINGS = 6  # of the rest after turns in vain


@dataclass(frozen=True, kw_only=True)
class World:
    """Since when the world is another one, and what that means for the next turn.

    In doubt (something asked besides growth) earlier champions compete in the next turn. `num_since_change` counts
    labelled rows since `changed_at`; `num_in_vain` turns in a row changed nothing.
    """

    changed_at: datetime | None = None
    is_in_doubt: bool = False
    num_since_change: int = 0
    rows_per_day: float | None = None
    num_in_vain: int = 0
    follow_ups: FollowUps = field(default_factory=FollowUps)

    def heard(self, ask: Asked, *, is_followed_up: bool) -> tuple["World", Asked | None]:
        """The world after an ask, and what is left of the ask: after a change follow-ups stand in for growth."""
        kinds = ask.triggers or ("unknown",) * len(ask.reasons)
        kept = [
            (reason, kind)
            for reason, kind in zip(ask.reasons, kinds, strict=True)
            if kind != GROWTH or self.changed_at is None or not is_followed_up
        ]
        if not kept:
            return self, None
        world = replace(self, is_in_doubt=self.is_in_doubt or any(kind != GROWTH for _, kind in kept))
        if any(kind not in CALM for _, kind in kept):
            following = self.follow_ups.started() if is_followed_up else self.follow_ups
            world = replace(world, changed_at=ask.onset_at, follow_ups=following)
        return world, replace(
            ask, reasons=tuple(reason for reason, _ in kept), triggers=tuple(kind for _, kind in kept)
        )

    def matured(
        self, num_since_change: int, *, rows_per_day: float | None, at: datetime
    ) -> tuple["World", Asked | None]:
        """The world after more rows were labelled, and the ask for a follow-up when it is due."""
        counted = replace(self, num_since_change=num_since_change, rows_per_day=rows_per_day)
        reason = self.follow_ups.due(num_since_change)
        if reason is None:
            return counted, None
        onset_at = at if self.changed_at is None else self.changed_at
        ask = Asked(at=at, reasons=(reason,), triggers=(FOLLOW_UP,), onset_at=onset_at, detected_at=at)
        return replace(counted, is_in_doubt=True, follow_ups=self.follow_ups.asked()), ask

    def turning(self) -> "World":
        """A turn has begun and settles what was in doubt."""
        return replace(self, is_in_doubt=False)

    def turned(
        self,
        *,
        is_in_vain: bool,
        is_moving: bool,
        is_returned: bool = False,
        started_at: datetime | None = None,
        max_rows: int | None = None,
    ) -> "World":
        """A turn ended; in vain when it changed nothing, moving when it showed that the world still moves.

        An earlier champion that returned and stayed has learned its world already: nothing is to be followed up. With
        `max_rows` follow-ups are at most so far apart at first and while the world moves, and a turn that was
        `started_at` and saw it move, which nobody had said, begins them.
        """
        counted = replace(self, num_in_vain=self.num_in_vain + 1 if is_in_vain else 0)
        if is_returned and not is_in_vain:
            return replace(counted, follow_ups=FollowUps())
        if is_moving and max_rows is not None and not self.follow_ups.is_following:
            return replace(
                counted, changed_at=started_at, num_since_change=0, follow_ups=FollowUps.of_turn(max_rows=max_rows)
            )
        followed = self.follow_ups.turned(self.num_since_change, is_moving=is_moving, max_rows=max_rows)
        return replace(counted, follow_ups=followed)

    def rest(self, cooldown: timedelta) -> timedelta:
        """How long a reason that led to a turn in vain is not heard again: it doubles with every such turn."""
        return cooldown * 2 ** min(self.num_in_vain, MAX_DOUBLINGS) if self.num_in_vain else timedelta(0)

    def to_json(self) -> dict[str, Any]:
        """Plain values of the fields."""
        return {
            "changed_at": None if self.changed_at is None else self.changed_at.isoformat(),
            "is_in_doubt": self.is_in_doubt,
            "num_since_change": self.num_since_change,
            "rows_per_day": self.rows_per_day,
            "num_in_vain": self.num_in_vain,
            "follow_ups": self.follow_ups.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "World":
        """What `to_json` wrote."""
        changed_at = value["changed_at"]
        return cls(
            **{
                **value,
                "changed_at": None if changed_at is None else datetime.fromisoformat(changed_at),
                "follow_ups": FollowUps.from_json(value["follow_ups"]),
            }
        )
