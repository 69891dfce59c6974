"""After a change the first turn has few rows of the new kind: look again whenever they have doubled."""


class FollowUps:
    """Counts labelled rows since a change, and says when to turn again; a turn in between counts as one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._num_left = 0
        self._next_rows: int | None = None

    def start(self) -> None:
        """A change was seen; the distances begin with the end of the turn that follows."""
        self._num_left, self._next_rows = self._limit, None

    def turned(self, num_rows: int) -> None:
        """A turn ended with so many labelled rows since the change."""
        if self._num_left:
            self._next_rows = 2 * max(num_rows, 1)
            self._num_left -= 1
        else:
            self._next_rows = None

    def due(self, num_rows: int) -> str | None:
        """The reason to turn again, once, when the rows since the change have doubled."""
        if self._next_rows is None or num_rows < self._next_rows:
            return None
        self._next_rows = None  # asked; the end of the turn sets the next distance
        return f"{num_rows:,} labelled rows since the change: twice as many as at the last turn"
