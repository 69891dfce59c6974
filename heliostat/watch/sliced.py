"""Whether a column moved within a slice, over all windows since the champion came."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from heliostat.triggers import SliceDrift
from heliostat.watch.calm import MIN_WINDOW_ROWS
from heliostat.watch.conditions import Condition
from heliostat.watch.detector import aligned, shiryaev_roberts, surely_large
from heliostat.watch.events import Alert, WindowClosed
from heliostat.watch.profile import NOT_INPUTS, OUTPUTS
from heliostat.watch.within import SliceDrifts

NUM_NAMED, NUM_WRITTEN = 3, 20
NOTICED = SliceDrift()  # what people are told: a trigger of a workload may ask for more or less


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Columns that moved within slices, the longest run first: how far in the newest window, and since when."""

    effect_by_stream: dict[str, float]
    num_moved: int
    num_windows: int
    onset: WindowClosed


def slice_drifting(trigger: SliceDrift, windows: Sequence[WindowClosed]) -> Condition | None:
    """The condition that some input drifted within some slice; windows are given in time order."""
    found = _moved(trigger, windows, ignored=NOT_INPUTS)
    if found is None:
        return None
    evidence = {
        "trigger": "slice_drift",
        "excess_psi_by_slice": found.effect_by_stream,
        "num_moved": found.num_moved,
        "num_windows": found.num_windows,
    }
    return Condition(reason=_said(found), onset_at=found.onset.since, evidence=evidence)


def moved_within(windows: Sequence[WindowClosed], *, at: datetime) -> Alert | None:
    """Says to people that an input or the answers drifted within a slice; None while none did."""
    found = _moved(NOTICED, windows, ignored=NOT_INPUTS - OUTPUTS)
    if found is None:
        return None
    evidence = {
        "notice": "slice_drift",
        "excess_psi_by_slice": found.effect_by_stream,
        "num_moved": found.num_moved,
        "onset_at": found.onset.since,
    }
    return Alert(reason=_said(found), detected_at=at, evidence=evidence)


def _moved(trigger: SliceDrift, windows: Sequence[WindowClosed], *, ignored: Set[str]) -> Moved | None:
    told = [(window, window.within) for window in windows if window.within is not None]
    if not told:
        return None
    newest = told[-1][1]
    streams = {
        f"{column} in {where[0]}={where[1]}": place
        for place, (where, column) in enumerate(newest.streams)
        if column not in ignored and column != where[0]
    }
    sums = shiryaev_roberts(aligned([one.log_evidence for _, one in told])).reshape(len(newest.streams), -1)
    mixed = np.logaddexp.reduce(sums, axis=1) - np.log(sums.shape[1])
    moved = surely_large({name: float(mixed[place]) for name, place in streams.items()}, run_length=trigger.run_length)
    runs = {name: _run(trigger, told, place=streams[name]) for name in moved}
    drifted = {name: run for name, run in runs.items() if len(run) >= trigger.windows}
    if not drifted:
        return None
    ordered = sorted(drifted, key=lambda name: -len(drifted[name]))
    first = drifted[ordered[0]]
    return Moved(
        effect_by_stream={name: drifted[name][-1][1].effects[streams[name]] for name in ordered[:NUM_WRITTEN]},
        num_moved=len(ordered),
        num_windows=len(first),
        onset=first[0][0],
    )


def _run(
    trigger: SliceDrift, told: Sequence[tuple[WindowClosed, SliceDrifts]], *, place: int
) -> list[tuple[WindowClosed, SliceDrifts]]:
    """The newest windows in a row in which the stream exceeds the limit, in time order.

    One with few rows of the slice says nothing: it neither lengthens nor breaks a run.
    """
    run: list[tuple[WindowClosed, SliceDrifts]] = []
    for window, found in reversed(told):
        if found.num_rows[place // len(found.columns)] < MIN_WINDOW_ROWS:
            continue
        if found.effects[place] <= trigger.psi:
            break
        run.append((window, found))
    return run[::-1]


def _said(found: Moved) -> str:
    named = [f"{name} (index {effect} beyond calm)" for name, effect in found.effect_by_stream.items()]
    more = found.num_moved - NUM_NAMED
    return (
        f"drifted within a slice since {found.onset.since:%Y-%m-%d}: {', '.join(named[:NUM_NAMED])}"
        f"{f' and {more} more' if more > 0 else ''}"
    )
