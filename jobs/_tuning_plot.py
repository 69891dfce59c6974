"""Draws a search: a line a trial across all its settings to its score; the best one stands out, with its values."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from heliostat.declared.tuning import Between, OneOf, Space

BEST_COLOUR = "tab:red"
BEST_LOOK = {"color": BEST_COLOUR, "linewidth": 3.0}
NEAREST_MARKS = 0.09  # of an axis: labels that are nearer overlap
# A score so many times as far from the best as the middle one lies at the end of its axis.
FAR_FROM_BEST = 3.0


def draw(path: Path, space: Space, trials: Sequence[Mapping[str, Any]], *, title: str, higher_is_better: bool) -> None:
    """Write a PNG of parallel coordinates, the best score at the top; trials that failed are left out."""
    ranked = sorted(
        (each for each in trials if each["score"] is not None),
        key=lambda each: float(each["score"]),
        reverse=higher_is_better,
    )
    best, worst = ranked[0], worst_shown([each["score"] for each in ranked])
    figure = Figure(figsize=(max(7, 2.2 * (len(space) + 1)), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for rank, each in reversed(list(enumerate(ranked))):
        heights = [_height(span, each["configuration"][name]) for name, span in space.items()]
        heights.append(score_height(each["score"], best=best["score"], worst=worst))
        look = _look(rank / max(len(ranked) - 1, 1))
        if each is best:
            look = {**BEST_LOOK, "label": _legend(best, num_failed=len(trials) - len(ranked))}
        axes.plot(range(len(heights)), heights, **look)
    _label(axes, space, best, worst=worst, is_cut=worst != ranked[-1]["score"], higher_is_better=higher_is_better)
    axes.set_title(title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), frameon=False)
    figure.savefig(path, dpi=110)


def _label(
    axes: Axes, space: Space, best: Mapping[str, Any], *, worst: float, is_cut: bool, higher_is_better: bool
) -> None:
    """Axes with their values; those of the best trial in its colour, and nothing else where they stand."""
    for place, (name, span) in enumerate(space.items()):
        value = best["configuration"][name]
        own = _height(span, value)
        others = [each for each in marks(span) if abs(_height(span, each) - own) >= NEAREST_MARKS]
        for mark in others:
            _write(axes, place, _height(span, mark), _said(mark))
        _write(axes, place, own, _said(value), is_best=True)
    beyond = f" or {'lower' if higher_is_better else 'higher'}" if is_cut else ""
    _write(axes, len(space), 1.0, f"{best['score']:.4f}", is_best=True)
    if worst != best["score"]:
        _write(axes, len(space), 0.0, f"{worst:.4f}{beyond}")
    for place in range(len(space) + 1):
        axes.axvline(place, color="0.7", linewidth=0.8, zorder=0)
    logarithmic = {name for name, span in space.items() if isinstance(span, Between) and span.log}
    names = [f"{name}\n(logarithmic)" if name in logarithmic else name for name in space]
    axes.set_xticks(range(len(space) + 1), [*names, "score\n(best at the top)"])
    axes.set_xlim(-0.1, len(space) + 0.55)
    axes.set_yticks([])


def _write(axes: Axes, place: int, height: float, text: str, *, is_best: bool = False) -> None:
    look: dict[str, Any] = {"color": BEST_COLOUR, "fontweight": "bold"} if is_best else {}
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.95, "pad": 1.0}
    axes.text(place + 0.04, height, text, fontsize=9, va="center", bbox=ground, zorder=5 + is_best, **look)


def _look(share: float) -> dict[str, Any]:
    """Of a line that this share of all scores are better than: the worse, the paler."""
    return {"color": colormaps["viridis"](share), "alpha": 0.9 - 0.6 * share, "linewidth": 1.4}


def _legend(best: Mapping[str, Any], *, num_failed: int) -> str:
    left_out = f"; {num_failed} that failed {'is' if num_failed == 1 else 'are'} left out" if num_failed else ""
    return f"best: trial {best['trial']}{left_out}"


def worst_shown(scores: Sequence[float]) -> float:
    """The score at the end of the axis, of scores from the best on: one gone astray must not flatten the others."""
    best, middle, worst = scores[0], scores[len(scores) // 2], scores[-1]
    end = best + FAR_FROM_BEST * (middle - best)
    return worst if abs(worst - best) <= abs(end - best) or middle == best else end


def score_height(score: float, *, best: float, worst: float) -> float:
    """Where on its axis a score lies: the best at 1, the worst that is shown and what is beyond at 0."""
    return 1.0 if worst == best else max(0.0, (worst - score) / (worst - best))


def _height(span: Between | OneOf, value: Any) -> float:
    """Where on its axis a value lies, from 0 to 1."""
    if isinstance(span, OneOf):
        return span.values.index(value) / (len(span.values) - 1)
    if span.log:
        return math.log(value / span.low) / math.log(span.high / span.low)
    return float((value - span.low) / (span.high - span.low))


def marks(span: Between | OneOf) -> Sequence[Any]:
    """The values beside an axis: all of a few, else both ends and round ones between."""
    if isinstance(span, OneOf):
        return span.values
    locator = LogLocator() if span.log else MaxNLocator(5, integer=span.whole)
    between = [value for value in locator.tick_values(span.low, span.high) if span.low < value < span.high]
    clear = [value for value in between if NEAREST_MARKS <= _height(span, value) <= 1 - NEAREST_MARKS]
    return [span.low, *np.asarray(clear).tolist(), span.high]


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
