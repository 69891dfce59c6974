"""What the monitor knows, gathered from its parts: the figures that are exported, and what its status adds."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from heliostat.tasks import BINARY, Task
from heliostat.watch.awaited import Awaited
from heliostat.watch.gauges import Measurement
from heliostat.watch.measured_quality import of_estimated_groups
from heliostat.watch.measured_shapes import of_reference, of_sketches
from heliostat.watch.measurements import measurements
from heliostat.watch.monitor import MonitorState
from heliostat.watch.sketches import Sketch, frequent
from heliostat.watch.windows import Windows


def told_of(
    state: MonitorState,
    *,
    windows: Windows | None,
    awaited: Awaited,
    sensitive: Sequence[str],
    clock: datetime,
    task: Task = BINARY,
) -> list[Measurement]:
    """Every figure at `clock`; between `sensitive` columns' groups the gaps are told too."""
    told = measurements(
        champion=state.champion,
        window=state.newest_window,
        cohort=state.newest_cohort,
        clock=clock,
        first=state.first_window,
        since_champion=state.cohorts,
        sensitive=sensitive,
        awaited=awaited,
    )
    shapes: list[Measurement] = []
    if windows is not None:
        shapes = [
            *of_reference(windows.profile),
            *of_sketches(_newest(state, windows), profile=windows.profile),
        ]
    newest = state.newest_window
    estimated = {} if windows is None or newest is None else windows.estimated_groups(newest.since)
    return [*told, *shapes, *of_estimated_groups(estimated, task=task)]


def frequent_values(state: MonitorState, windows: Windows | None) -> dict[str, list[tuple[str, int]]]:
    """The most frequent texts of each column in the newest closed window, with about how often each came."""
    return {} if windows is None else frequent(_newest(state, windows))


def _newest(state: MonitorState, windows: Windows) -> Mapping[str, Sketch]:
    return {} if state.newest_window is None else windows.sketches(state.newest_window.since)
