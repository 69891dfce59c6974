"""Draws the result: weekly log loss of every policy over the replayed months, with the turns of the loop."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from heliostat.labels import Classes, Quantity
from heliostat.tasks import BINARY, Task

Values = NDArray[np.float64]
WEEK_US = 7 * 24 * 3600 * 1_000_000
STYLE_BY_POLICY = {
    "constant": {"color": "0.7", "linestyle": ":"},
    "never": {"color": "tab:blue", "linestyle": "--"},
    "trees": {"color": "tab:green", "linestyle": "--"},
    "trees_monthly": {"color": "tab:green"},
    "loop": {"color": "tab:red", "linewidth": 2.5},
}
TITLE_BY_POLICY = {
    "constant": "constant rate",
    "never": "first champion, never retrained",
    "trees": "boosted trees, never retrained",
    "trees_monthly": "boosted trees, every month",
    "loop": "the loop",
}


def draw(
    path: Path,
    event_at: NDArray[np.datetime64],
    labels: Values,
    answers: Mapping[str, Values],
    *,
    turns: Sequence[Mapping[str, Any]],
    title: str,
    task: Task = BINARY,
) -> None:
    """Write a PNG: above, the loss less the constant answer's by week; below, what the labels were."""
    week = event_at.astype("datetime64[us]").astype(np.int64) // WEEK_US
    weeks, index = np.unique(week, return_inverse=True)
    middle = ((weeks + 0.5) * WEEK_US).astype("int64").astype("datetime64[us]")
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    weekly = {policy: _mean(task.losses(labels, values), index) for policy, values in answers.items()}
    for policy, style in STYLE_BY_POLICY.items():
        gain = weekly[policy] - weekly["constant"]
        above.plot(middle, gain, label=TITLE_BY_POLICY[policy], **style)  # type: ignore[arg-type]
    for turn in turns:
        if turn.get("ended_at"):
            is_promoted = turn["outcome"] == "promoted"
            style = "-" if is_promoted else ":"
            above.axvline(_date(turn["ended_at"]), color="tab:red", alpha=0.4, linewidth=1, linestyle=style)
    loss = task.loss.name.replace("_", " ")
    above.set_ylabel(f"weekly {loss} less the constant rate's\n(lower is better)")
    above.set_title(f"{title}: the loop and what it is compared with; thin red lines: turns (dotted: not promoted)")
    above.legend(loc="best", fontsize=9)
    _draw_labels(below, middle, labels, index, task=task)
    figure.savefig(path, dpi=110)


def _draw_labels(
    axes: Axes, middle: NDArray[np.datetime64], labels: Values, index: NDArray[np.integer[Any]], *, task: Task
) -> None:
    """By week the share of label 1, of each class, or the mean quantity."""
    if isinstance(task.label, Classes):
        for place, value in enumerate(task.label.values):
            axes.plot(middle, _mean((labels == place).astype(np.float64), index), label=str(value))
        axes.legend(loc="best", fontsize=8)
    else:
        axes.plot(middle, _mean(labels, index), color="0.3")
    unit = f", {task.label.unit}" if isinstance(task.label, Quantity) and task.label.unit else ""
    said = {"binary": "share of label 1", "classes": "share of each class", "quantity": f"mean label{unit}"}
    axes.set_ylabel(said[task.kind])
    if task.kind != "quantity":
        axes.set_ylim(0, None)


def _mean(values: Values, index: NDArray[np.integer[Any]]) -> Values:
    return np.asarray(np.bincount(index, weights=values) / np.bincount(index))


def _date(text: str) -> np.datetime64:
    return np.datetime64(datetime.fromisoformat(text).replace(tzinfo=None))
