"""Draws a search: a line a trial across all its settings to its score; the best ones stand out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from heliostat.declared.tuning import Between, OneOf, Space


def draw(path: Path, space: Space, trials: Sequence[Mapping[str, Any]], *, title: str, higher_is_better: bool) -> None:
    """Write a PNG of parallel coordinates; trials that failed are left out."""
    told = [each for each in trials if each["score"] is not None]
    figure = Figure(figsize=(max(6, 2.2 * (len(space) + 1)), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    low, high = min(each["score"] for each in told), max(each["score"] for each in told)
    for each in sorted(told, key=lambda one: float(one["score"]), reverse=not higher_is_better):
        height = 0.5 if high == low else (each["score"] - low) / (high - low)
        merit = height if higher_is_better else 1 - height
        heights = [_height(space[name], each["configuration"][name]) for name in space]
        axes.plot(
            range(len(space) + 1), [*heights, height], color=colormaps["viridis"](1 - merit), alpha=0.3 + 0.7 * merit
        )
    for place, name in enumerate(space):
        for value in _marks(space[name]):
            axes.text(place + 0.03, _height(space[name], value), _said(value), fontsize=8, va="center")
    for score in {low, high}:
        height = 0.5 if high == low else (score - low) / (high - low)
        axes.text(len(space) + 0.03, height, f"{score:.4f}", fontsize=8, va="center")
    for place in range(len(space) + 1):
        axes.axvline(place, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(space) + 1), [*space, "score"])
    axes.set_xlim(-0.1, len(space) + 0.4)
    axes.set_yticks([])
    axes.set_title(title)
    figure.savefig(path, dpi=110)


def _height(span: Between | OneOf, value: Any) -> float:
    """Where on its axis a value lies, from 0 to 1."""
    if isinstance(span, OneOf):
        return span.values.index(value) / (len(span.values) - 1)
    if span.log:
        return math.log(value / span.low) / math.log(span.high / span.low)
    return float((value - span.low) / (span.high - span.low))


def _marks(span: Between | OneOf) -> Sequence[Any]:
    if isinstance(span, OneOf):
        return span.values
    spread = np.geomspace if span.log else np.linspace
    return [float(value) for value in spread(span.low, span.high, 5)]


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
