"""How long each fit of a run may take, so that all of them, and what is fitted again, end within the declared time."""


def share_s(left_s: float, *, num_judged: int, num_again: int, again_costs: float) -> float:
    """What a fit may take of the time that is left, in seconds.

    `num_judged` fits are still to come, it among them, and then `num_again` on all rows, each as long as one of them
    times `again_costs`. Whatever a quick one leaves is there for the next, so that the last fit on all rows has its
    time however long the fit took that it repeats.
    """
    return max(0.0, left_s) / (num_judged + num_again * again_costs)


class Pace:
    """Whether what is next in a fit, an epoch or a round, would end after its time, at the pace so far."""

    def __init__(self, limit_s: float, *, began_s: float) -> None:
        self._limit_s, self._began_s = limit_s, began_s

    def is_over(self, num_done: int, *, now_s: float) -> bool:
        """Asked when so many are done since it began."""
        elapsed_s = now_s - self._began_s
        return elapsed_s * (num_done + 1) / num_done > self._limit_s
