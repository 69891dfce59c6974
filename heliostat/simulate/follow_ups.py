"""After a change the first turn has few rows of the new kind, and the world may still move: when to look again."""

GROWTH = 3  # the next turn comes when the rows since the change are so many times what they were at the last one


class FollowUps:
    """Counts labelled rows since a change, and says when to turn again; a turn in between counts as one.

    Distances grow while nothing more is won by turning; a turn that won much keeps the distance: the world still moves.
    """

    def __init__(self) -> None:
        self._is_following = False
        self._last_rows: int | None = None
        self._next_rows: int | None = None

    def start(self) -> None:
        """A change was seen; the distances begin with the end of the turn that follows."""
        self._is_following, self._last_rows, self._next_rows = True, None, None

    def turned(self, num_rows: int, *, is_moving: bool) -> None:
        """A turn ended with so many labelled rows since the change; whether its winner won much by them."""
        if not self._is_following:
            return
        is_first = self._last_rows is None
        distance = num_rows - (self._last_rows or 0)
        self._next_rows = num_rows + distance if is_moving and not is_first else GROWTH * max(num_rows, 1)
        self._last_rows = num_rows

    def due(self, num_rows: int) -> str | None:
        """The reason to turn again, once, when there are enough rows since the change."""
        if self._next_rows is None or num_rows < self._next_rows:
            return None
        self._next_rows = None  # asked; the end of the turn sets the next distance
        return f"{num_rows:,} labelled rows since the change, {self._last_rows:,} at the last turn"
